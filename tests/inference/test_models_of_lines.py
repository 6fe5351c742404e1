"""Models of lines: nothing reaches over a line break, in reading, scoring and learning alike."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from inference.test_engine import SHAPE, V, lively
from priors import beside, counted

from letterwise.checkpoint.weights import weights_of
from letterwise.config.presets import PRESETS, resolve
from letterwise.data.batches import NO_TARGET, LineBatches
from letterwise.evaluation.evaluate import evaluate
from letterwise.evaluation.score import Scorer, score
from letterwise.inference.backend import Backend
from letterwise.inference.cpu.backend import CompiledBackend
from letterwise.inference.engine import Sequence
from letterwise.inference.torch_backend import TorchBackend
from letterwise.loss import cross_entropy
from letterwise.model import Transformer
from letterwise.ngrams import Counts
from letterwise.ngrams.cross_fit import cross_fit
from letterwise.training.optimizers.multi_token import MultiTokenHead

BREAK = 0
LEARNED = np.concatenate([[BREAK], np.random.default_rng(0).integers(0, V, 300)])
line_texts = st.lists(st.integers(0, V - 1).map(lambda id: id if id < V - 1 else BREAK), max_size=50).map(
    lambda ids: [BREAK, *ids]
)


@pytest.fixture(scope="module", params=PRESETS)
def model(request: pytest.FixtureRequest) -> Transformer:
    return lively(resolve({**SHAPE, "preset": request.param, **PRESETS[request.param], "block_size": 6}).model)


@pytest.fixture(scope="module")
def counts(model: Transformer) -> Counts | None:
    return counted(LEARNED, V, model.config.counts_order, BREAK) if model.prior else None


@pytest.fixture(scope="module", params=["compiled", "plain"])
def reader(request: pytest.FixtureRequest, model: Transformer, counts: Counts | None) -> Backend:
    if request.param == "compiled":
        return CompiledBackend(model.config, V, weights_of(model), counts, BREAK)
    return TorchBackend(model, counts, BREAK)


@settings(max_examples=15)
@given(ids=line_texts, cuts=st.sets(st.integers(1, 50)))
def test_only_the_line_matters_to_the_last_bit(reader: Backend, ids: list[int], cuts: set[int]) -> None:
    """Whatever came before it, and in whatever chunks."""
    sequence, begin = Sequence(reader), len(ids) - 1 - ids[::-1].index(BREAK)
    for start, end in pairwise([0, *sorted(cut for cut in cuts if cut < len(ids)), len(ids)]):
        got = sequence.read(ids[start:end])
    alone = Sequence(reader)
    for id in ids[begin:]:
        expected = alone.read([id])
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    if isinstance(reader, CompiledBackend):
        np.testing.assert_array_equal(got, expected)


def test_when_nothing_was_read_a_line_begins(reader: Backend) -> None:
    begun = Sequence(reader).read([BREAK])
    np.testing.assert_array_equal(Sequence(reader).logits(), begun)
    np.testing.assert_array_equal(Sequence(reader).fork().logits(), begun)
    sequence = Sequence(reader)
    sequence.read([3, 4])
    assert (sequence.fork().logits() != begun).any()
    np.testing.assert_array_equal(sequence.read([BREAK]), begun)


@settings(max_examples=6)
@given(ids=line_texts.filter(lambda ids: len(ids) > 1))
def test_evaluation_is_what_the_predictor_says(
    reader: Backend, model: Transformer, counts: Counts | None, ids: list[int]
) -> None:
    """Character by character; `sliding` at any length of lines, `blocks` where they fit."""
    sequence, nats = Sequence(reader), []
    for current, following in pairwise(ids):
        nats.append(-torch.from_numpy(sequence.read([current])).log_softmax(-1)[following].item())
    asked = beside(model, counts, BREAK)
    scorer = Scorer(asked, protocol="sliding", before=())
    told = list(score(scorer, np.array(ids)))
    assert [id for some in told for id in some.ids.tolist()] == ids
    bits = np.concatenate([some.bits for some in told])[1:]  # nothing tells the first
    np.testing.assert_allclose(bits * np.log(2), nats, rtol=1e-4, atol=1e-4)
    whole = evaluate(asked, np.array(ids), protocol="sliding")
    assert whole.chars == len(ids) - 1
    assert whole.bits_per_char == pytest.approx(bits.mean(), abs=1e-9)


def test_another_line_changes_nothing(model: Transformer, counts: Counts | None) -> None:
    """Neither before nor after it, shorter or longer."""
    line, costs = [3, 1, 4, 1, 5, 9, 2, 6, BREAK], []
    for before, after in (
        ([], []),
        ([2, 7, BREAK], [1, BREAK]),
        ([8] * 20 + [BREAK], [8, 8]),
        ([3, 1, 4, 1, 5, 9, BREAK], [3]),
    ):
        ids = np.array([BREAK, *before, *line, *after])
        for protocol in ("blocks", "sliding"):
            told = score(Scorer(beside(model, counts, BREAK), protocol=protocol, before=()), ids)
            costs.append((protocol, np.concatenate([some.bits for some in told])[1 + len(before) :][: len(line)]))
    for protocol, bits in costs:
        expected = next(first for name, first in costs if name == protocol)
        np.testing.assert_allclose(bits, expected, rtol=1e-5, atol=1e-5)


def gradients(
    model: Transformer, head: MultiTokenHead, counts: Counts | None, ids: np.ndarray, step: int
) -> list[torch.Tensor]:
    """What a step of training on `ids` moves the weights by."""
    starts, inputs, targets = LineBatches(ids, BREAK, 6, 4, seed=1).at(step)
    x, y, told = torch.from_numpy(inputs), torch.from_numpy(targets), None
    if counts and model.prior:
        told = torch.from_numpy(counts.log_probs_at(ids, starts, inputs.shape[1], model.prior.orders))
    model.zero_grad()
    head.zero_grad()
    h = model.states(x, log_prior=told)
    (cross_entropy(model.scores(h, told), y) + head(h, y)).backward()
    held = [*model.parameters(), *head.parameters()]
    return [weight.grad.clone() for weight in held if weight.grad is not None]


def test_training_on_a_line_sees_that_line_only(model: Transformer, counts: Counts | None) -> None:
    """All lines of a step stay, those between them are others of the same length: the step is the same."""
    draw = np.random.default_rng(2)
    lines = [[*draw.integers(1, V, length), BREAK] for length in draw.integers(1, 12, 40)]
    ids = np.concatenate([[BREAK], *lines])
    head = MultiTokenHead(model)
    torch.nn.init.normal_(head.head.weight)
    for step in (0, 5):
        taken, inside = LineBatches(ids, BREAK, 6, 4, seed=1).at(step), np.zeros(len(ids), bool)
        for start, targets in zip(taken.starts, taken.targets, strict=True):
            begin = np.flatnonzero(ids[: start + 1] == BREAK)[-1]  # of the line: counts see what stands before a window in it
            inside[begin : start + (targets != NO_TARGET).sum() + 1] = True
        other = np.where(inside | (ids == BREAK), ids, (ids + 3) % (V - 1) + 1)
        assert (other != ids).any()
        for one, two in zip(
            gradients(model, head, counts, ids, step), gradients(model, head, counts, other, step), strict=True
        ):
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


def test_what_training_is_told_of_a_line_begins_at_its_line_break() -> None:
    """The folds' counts of a place are the same whatever line comes before."""
    ids = np.tile([BREAK, 1, 2, 3, BREAK, 4, 2, 3, BREAK, 5, 6], 30)
    fitted = cross_fit(ids, V, 5, folds=3, max_chars=10**9, line_break=BREAK)
    told = fitted.log_probs_at(np.array([0, 4, 8, 11]), 2, orders=5)
    np.testing.assert_array_equal(told[0, 0], told[1, 0])  # after a line break, in the first fold
    np.testing.assert_array_equal(told[0, 0], told[2, 0])
    np.testing.assert_array_equal(told[0], told[3])
