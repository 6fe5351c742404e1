"""Window scorer: PyTorch's costs, whatever the windows, whoever reads them beside, and before it is compiled."""

from itertools import pairwise

import numpy as np
import pytest
from inference.test_engine import SHAPE, V, lively
from priors import beside, counts_for

from letterwise.checkpoint.model_file import Member
from letterwise.checkpoint.weights import weights_of
from letterwise.compiling import entry
from letterwise.compiling.worker import Job
from letterwise.config.presets import resolve
from letterwise.data.batches import Cuts, cut
from letterwise.evaluation.score import Scorer
from letterwise.inference.cpu import scoring
from letterwise.inference.cpu.scoring import WindowScorer
from letterwise.model import Transformer

BREAK = 3


@pytest.fixture(scope="module", params=["fast", "classic"])
def model(request: pytest.FixtureRequest) -> Transformer:
    return lively(resolve({**SHAPE, "preset": request.param}).model)


@pytest.fixture(scope="module")
def scorer(model: Transformer) -> WindowScorer:
    return WindowScorer([Member(model.config, 1.0, weights_of(model))], V, counts_for(model))


@pytest.mark.parametrize("protocol", ["blocks", "eighth", "sliding"])
@pytest.mark.parametrize("line_break", [None, BREAK])
@pytest.mark.parametrize("threads", [1, 3])
def test_it_charges_what_pytorch_charges(
    model: Transformer, scorer: WindowScorer, protocol: str, line_break: int | None, threads: int
) -> None:
    """In pieces of a text, some of one character and some of many windows."""
    ids, asked = np.random.default_rng(1).integers(0, V, 700), []
    scorer.threads = threads

    def nats(ids: np.ndarray, windows: Cuts) -> np.ndarray | None:
        asked.append(len(windows.starts))
        return scorer.nats(ids, windows)

    text_model = beside(model, counts_for(model), line_break)
    plain, fast = (Scorer(text_model, protocol=protocol, compiled=compiled) for compiled in (None, nats))
    for begin, end in pairwise([0, 1, 2, 9, 400, 401, 700]):
        one, other = (each.read(ids[begin:end]) for each in (plain, fast))
        np.testing.assert_array_equal(one.ids, other.ids)
        np.testing.assert_allclose(one.bits, other.bits, rtol=1e-4, atol=1e-4)
    assert max(asked) > 20


def test_a_window_alone_costs_the_same_bits(scorer: WindowScorer) -> None:
    """As beside others, of any length: so figures do not depend on how a text comes in."""
    ids = np.random.default_rng(2).integers(0, V, 300)
    windows = Cuts(*np.array([(start, 1 + start % 12, 0) for start in range(0, 280, 13)]).T)
    together = scorer.nats(ids, windows)
    alone = sum(scorer.nats(ids, Cuts(*(part[i : i + 1] for part in windows))) for i in range(len(windows.starts)))
    np.testing.assert_array_equal(together, alone)
    assert (together > 0).sum() == windows.lengths.sum()


def test_until_it_is_compiled_there_is_no_answer(scorer: WindowScorer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "MEANWHILE", True)
    waiting = entry.Entry(scoring.score_windows.function, None, {}, silent=True)
    waiting.job = Job()
    monkeypatch.setattr(scoring, "score_windows", waiting)
    ids = np.arange(V)
    assert scorer.nats(ids, cut(ids, 12, 0)) is None
    text_model = beside(lively(resolve({**SHAPE, "preset": "classic"}).model))
    plain, fast = (Scorer(text_model, compiled=compiled).read(ids) for compiled in (None, scorer.nats))
    np.testing.assert_array_equal(plain.bits, fast.bits)
