"""Before the kernel is compiled Python runs it as it stands: the same logits and the same texts, to the last bit."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference.test_engine import SHAPE, TURNS, V, compiled, lively
from inference.test_every_brick import BRICKS, REST
from priors import counts_for

from letterwise.compiling import entry
from letterwise.compiling.worker import Job
from letterwise.config import ModelConfig
from letterwise.config.presets import PRESETS, resolve
from letterwise.data.vocabulary import Vocabulary
from letterwise.inference.backend import Backend
from letterwise.inference.constraints.language.dfa import NO_DFA, START, draw_under_dfa
from letterwise.inference.constraints.limits import Limits
from letterwise.inference.cpu import decode
from letterwise.inference.engine import Sequence
from letterwise.inference.generate import generate
from letterwise.inference.sampling import filters
from letterwise.inference.sampling.sampler import Sampler
from letterwise.model import Transformer

LETTERS = Vocabulary("char", "abcdefghijk")
SAMPLERS = [
    Sampler(), Sampler(greedy=True), Sampler(temperature=0.7), Sampler(temperature=1e-3), Sampler(top_k=3), Sampler(top_p=0.8),
    Sampler(min_p=0.1), Sampler(typical_p=0.6), Sampler(temperature=1.3, top_k=9, top_p=0.9, min_p=0.01, typical_p=0.9),
]  # fmt: skip


@pytest.fixture
def not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel, as long as its compilation lasts: here for ever."""
    monkeypatch.setattr(entry, "MEANWHILE", True)
    waiting = entry.Entry(decode.decode.function, None, {})
    waiting.job = Job()
    monkeypatch.setattr(decode, "decode", waiting)


def shapes() -> list[ModelConfig]:
    """All presets, and each value of each brick."""
    presets = [resolve({**SHAPE, "preset": name, **PRESETS[name]}).model for name in PRESETS]
    bricks = [ModelConfig(**{**SHAPE, "counts_order": 3, **rest}) for rest in REST]
    for name, values in BRICKS.items():
        bricks += [dataclasses.replace(bricks[i % 2], **{name: value}) for i, value in enumerate(values)]
    return [*presets, *bricks, dataclasses.replace(bricks[0], n_embd=40, n_head=2)]


def answers(model: Transformer) -> list[np.ndarray]:
    """What follows each character of a text that is longer than a context, and of one beside it."""
    ids = np.random.default_rng(2).integers(0, V, 16).tolist()
    one, other = (Sequence(compiled(model, counts_for(model))) for _ in range(2))
    return [*(one.read([id]) for id in ids), other.read(ids[:7]), other.read(ids[7:])]


@pytest.mark.parametrize("config", shapes(), ids=lambda config: f"{config.positions} {config.norm} {config.activation}")
def test_logits_are_the_same_bits(config: ModelConfig, request: pytest.FixtureRequest) -> None:
    model = lively(config)
    want = answers(model)
    request.getfixturevalue("not_compiled")
    got = answers(model)
    np.testing.assert_array_equal(np.array(got).view(np.int32), np.array(want).view(np.int32))
    assert len({logits.tobytes() for logits in want}) > 12


@pytest.fixture(scope="module")
def backend() -> Backend:
    model = lively(resolve(SHAPE).model)
    return compiled(model, counts_for(model))


def written(backend: Backend, sampler: Sampler) -> list[str]:
    """Three texts side by side: within a context, beyond it, and as a regex has them."""
    return [
        text
        for limits in (Limits(num_tokens=4), Limits(num_tokens=15), Limits(num_tokens=10, regex="(ab|[c-f]+)*k"))
        for text in generate(backend, LETTERS, "abc", sampler=sampler, limits=limits, rng_seeds=range(3)).texts()
    ]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_texts_are_the_same(backend: Backend, sampler: Sampler, request: pytest.FixtureRequest) -> None:
    want = written(backend, sampler)
    request.getfixturevalue("not_compiled")
    assert written(backend, sampler) == want


scores = st.lists(st.floats(-4, 4, width=16).map(round) | st.floats(-30, 30, width=32), min_size=V, max_size=V)


@settings(max_examples=60)
@given(scores=scores, uniform=st.floats(0, 1, exclude_max=True), which=st.integers(0, len(SAMPLERS) - 1))
def test_filters_give_the_same_bits(scores: list[float], uniform: float, which: int) -> None:
    """Ties and all; so does the draw, free and with a DFA."""
    logits, asked = np.array(scores, np.float32), SAMPLERS[which].filters
    for kind in (np.float32, np.float64):
        mine, want, room = logits.astype(kind), logits.astype(kind), filters.room_for(V)
        filters.apply.plain(asked, mine, room)
        filters.apply(asked, want, room)
        assert mine.tobytes() == want.tobytes()
        filters.softmax.plain(mine, room.probabilities)
        filters.softmax(want, room.typicality)
        assert room.probabilities.tobytes() == room.typicality.tobytes()
        for dfa in (NO_DFA, TURNS):
            under = dfa, START, 3, asked, uniform, room
            drawn = [f(logits.astype(kind), *under) for f in (draw_under_dfa.plain, draw_under_dfa)]
            assert tuple(drawn[0]) == tuple(drawn[1])


def test_scores_that_are_no_distribution() -> None:
    for bad in (np.nan, np.inf):
        logits, room = np.array([0.0, bad, 1.0], np.float32), np.zeros((2, 3), np.float32)
        for biased, row in zip((filters.biased.plain, filters.biased), room, strict=True):
            biased(logits, np.zeros(3, np.float32), row)
        assert np.isnan(room).all()
        assert draw_under_dfa.plain(room[0], NO_DFA, 0, 1, Sampler().filters, 0.5, filters.room_for(3)) == (-1, False)
