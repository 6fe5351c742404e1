"""Sequence: any chunking of a text gives the same answer, however long the text."""

import math
import time
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from priors import beside, counts_for

from letterwise.checkpoint.weights import weights_of
from letterwise.config import CONTEXT_REACH, ModelConfig
from letterwise.config.presets import PRESETS, resolve
from letterwise.data.vocabulary import Vocabulary
from letterwise.evaluation.evaluate import evaluate
from letterwise.inference.backend import Backend, Draw
from letterwise.inference.constraints.dfa_guide import DFAGuide
from letterwise.inference.constraints.language.dfa import DFA, END
from letterwise.inference.cpu import decode, kernel
from letterwise.inference.cpu.backend import CompiledBackend
from letterwise.inference.cpu.threads import ThreadPool
from letterwise.inference.engine import Engine, Sequence
from letterwise.inference.sampling.sampler import Sampler, SamplerState
from letterwise.inference.torch_backend import TorchBackend
from letterwise.model import Transformer, build, initialize
from letterwise.ngrams import Counts

V = 11
LETTERS = Vocabulary("char", "abcdefghijk")
# a text is whole where a character below 4 follows one where it is not
TURNS = DFA(np.array([0] * 4 + [1] * (V - 4)), np.array([[0, 0], [2, 1], [1, 1]]), np.array([1, 1, 0]))
NARROW = DFA(np.arange(V) % 4, np.array([[0] * 4, [1, 1, 0, 2], [0, 2, 1, 0]]), np.array([2**31 - 1, 0, 1]))
DFAS = [TURNS, TURNS, NARROW]
SAMPLERS = [Sampler(), Sampler(temperature=0.5, top_k=4), Sampler(top_p=0.8, logit_bias={"c": 2.0}), Sampler(greedy=True)]
SHAPE = dict(n_layer=2, n_head=4, n_embd=32, block_size=12)


def lively(config: ModelConfig, seed: int = 0, vocab_size: int = V) -> Transformer:
    """A fresh model, with every weight drawn wide, so that answers differ by much more than rounding."""
    model = initialize(build(config, vocab_size), seed)
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    return model.eval()


def compiled(model: Transformer, counts: Counts | None = None) -> CompiledBackend:
    """The same model as the kernel reads it."""
    return CompiledBackend(model.config, V, weights_of(model), counts)


READERS = {"compiled": compiled, "plain": TorchBackend}


@pytest.fixture(scope="module", params=[*PRESETS, "one"])
def model(request: pytest.FixtureRequest) -> Transformer:
    if request.param == "one":  # the shortest context there is
        return lively(resolve({**SHAPE, "block_size": 1}).model)
    return lively(resolve({**SHAPE, "preset": request.param, **PRESETS[request.param]}).model)


@pytest.fixture(scope="module", params=READERS)
def reader(request: pytest.FixtureRequest, model: Transformer) -> Backend:
    return READERS[request.param](model, counts_for(model))


def windows_by_the_policy(ids: list[int], block_size: int) -> list[int]:
    """The plain statement: grow to a full context, then start again on its last half."""
    window: list[int] = []
    for i in ids:
        if len(window) == block_size:
            window = window[len(window) - block_size // 2 :] if block_size > 1 else []
        window.append(i)
    return window


def alone(model: Transformer, ids: list[int]) -> np.ndarray:
    """What the model says after `ids`, by one pass over the window that the policy gives."""
    window, told, counts = windows_by_the_policy(ids, model.config.block_size), None, counts_for(model)
    if counts and model.prior:  # counts know the whole text, and not only the window
        first = np.array([len(ids) - len(window)])
        told = torch.from_numpy(counts.log_probs_at(np.array(ids), first, len(window), model.prior.orders))
    with torch.no_grad():
        return model(torch.tensor([window]), log_prior=told)[0, -1].numpy()


texts = st.lists(st.integers(0, V - 1), min_size=1, max_size=60)


@settings(max_examples=40)
@given(ids=texts, cuts=st.sets(st.integers(0, 60)))
def test_any_chunking_gives_the_answer_of_the_window_alone(
    reader: Backend, model: Transformer, ids: list[int], cuts: set[int]
) -> None:
    sequence = Sequence(reader)
    edges = [0, *sorted(c for c in cuts if c < len(ids)), len(ids)]
    for start, end in pairwise(edges):
        logits = sequence.read(ids[start:end])
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, alone(model, ids), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", READERS)
@settings(max_examples=20)
@given(lines=st.lists(texts, min_size=1, max_size=12), seed=st.integers(0, 99), many_threads=st.booleans())
def test_texts_side_by_side_are_read_as_each_alone(
    kind: str, model: Transformer, lines: list[list[int]], seed: int, many_threads: bool
) -> None:
    """To the last bit, whatever the company, the chunks and the number of threads: so a seed writes the same in any batch."""
    reader, chunks = READERS[kind](model, counts_for(model)), np.random.default_rng(seed)
    piece = 1 if kind == "compiled" else 7  # PyTorch takes longer
    if many_threads and isinstance(reader, CompiledBackend):
        reader.threads = ThreadPool(3, min_work=1)
    engine = Engine(reader, len(lines))
    company = [engine.join() for _ in lines]
    left = [list(line) for line in lines]
    while any(left):
        for sequence, ids in zip(company, left, strict=True):
            take = chunks.integers(0, 20)
            sequence.feed(ids[:take])
            del ids[:take]
        company[0].logits()
    together = [sequence.logits() for sequence in company]
    for got, line in zip(together, lines, strict=True):
        one = Sequence(reader)
        np.testing.assert_array_equal(got, [one.read(line[i : i + piece]) for i in range(0, len(line), piece)][-1])


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("unread", [False, True])
def test_rows_are_drawn_as_each_alone(model: Transformer, monkeypatch: pytest.MonkeyPatch, threads: int, unread: bool) -> None:
    """To the last bit, each with its own sampler, DFA and length: threads share each step of a few rows, or rows."""
    monkeypatch.setattr("letterwise.inference.cpu.threads.Timing.choose_parallel", lambda timing: True)
    backend, most = compiled(model, counts_for(model)), model.config.block_size
    steps: list[int] = []

    def counted(*arguments: object) -> int:
        steps.append(decode.decode(*arguments))
        return steps[-1]

    def drawn(seeds: range) -> dict[int, tuple[list[int], list[bool]]]:
        backend.threads = ThreadPool(threads if len(seeds) > 1 else 1, min_work=1)
        monkeypatch.setattr(
            backend.threads, "run", lambda _, *rest, **how: ThreadPool.run(backend.threads, counted, *rest, **how)
        )
        cache, draws = backend.cache(len(seeds)), []
        for row, seed in enumerate(seeds):
            cache.begin(row, [])
            guide = DFAGuide(DFAS[seed % 3], 2 * most) if seed % 3 else None
            draws.append(Draw(row, 0, seed % V, 1 + 5 * seed % most, SamplerState(SAMPLERS[seed % 4], LETTERS, seed), guide))
        draws.sort(key=lambda draw: -draw.n)
        logits = np.array([np.random.default_rng(seed).normal(size=V) for seed in seeds], np.float32)
        ids, used = cache.draw(draws, logits, unread)
        while len(steps) < backend.threads.threads:
            time.sleep(1e-4)  # another thread may be on its way back to Python
        assert set(steps) == {min(draws[0].n, 1 + (ids != END).sum(axis=1).max())}  # what every thread says
        steps.clear()
        return {
            seeds[draw.row]: (found[: draw.n].tolist(), numbers[: draw.n].tolist())
            for draw, found, numbers in zip(draws, ids, used, strict=True)
        }

    each = {seed: drawn(range(seed, seed + 1))[seed] for seed in range(12)}
    assert len({len(ids) for ids, _ in each.values()}) > (1 if most > 1 else 0)
    for company in (range(2), range(2, 6), range(5, 12)):
        assert drawn(company) == {seed: each[seed] for seed in company}


@pytest.mark.parametrize("threads", [1, 2])
def test_many_texts_are_written_as_each_alone(threads: int) -> None:
    """More than one thread takes at once, and some past their context, others not."""
    backend = compiled(lively(resolve({**SHAPE, "counts_order": 0}).model))

    def written(rows: int, seeds: range) -> list[list[int]]:
        backend.threads = ThreadPool(threads, min_work=1)
        engine = Engine(backend, rows)
        texts = [engine.join() for _ in seeds]
        for text, seed in zip(texts, seeds, strict=True):
            text.feed(np.random.default_rng(seed).integers(0, V, 1 + 7 * seed % 90))
            text.begin(SamplerState(Sampler(), LETTERS, seed), 5 + seed % 40)
        while any(text.writing for text in texts):
            engine.step()
        return [text.written for text in texts]

    together = written(80, range(80))
    for seed in range(0, 80, 9):
        assert written(1, range(seed, seed + 1)) == [together[seed]]


def test_nothing_read_makes_all_characters_alike(reader: Backend) -> None:
    logits = Sequence(reader).read([])
    assert logits.shape == (V,)
    assert len(set(logits.tolist())) == 1


def test_reading_nothing_repeats_the_last_answer(reader: Backend) -> None:
    sequence = Sequence(reader)
    first = sequence.read([1, 2, 3])
    np.testing.assert_array_equal(sequence.read([]), first)


def test_a_fork_reads_on_by_itself(reader: Backend, model: Transformer) -> None:
    one = Sequence(reader)
    one.read([1, 2, 3])
    one.feed([4])
    other = one.fork()
    for id in (5, 6):
        mine, theirs = one.read([id]), other.read([id + 1])
    np.testing.assert_allclose(mine, alone(model, [1, 2, 3, 4, 5, 6]), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(theirs, alone(model, [1, 2, 3, 4, 6, 7]), rtol=1e-4, atol=1e-4)


def test_half_a_context_at_least_is_seen() -> None:
    sequence = Sequence(TorchBackend(lively(resolve({**SHAPE, "counts_order": 0}).model)))
    sizes = []
    for i in range(50):
        sequence.read([i % V])
        sizes.append(sequence.engine.windows.held[0])
    assert max(sizes) == 12
    assert min(sizes[12:]) == 12 // 2 + 1


@given(x=st.floats(-100, 100, width=32))
def test_the_kernels_exponential_and_tangent(x: float) -> None:
    x = np.float32(x)
    inside = -87 <= x <= 88
    assert kernel.exp(x) == pytest.approx(math.exp(min(max(x, -87), 88)), rel=3e-7 if inside else 1e-5)
    assert kernel.tanh(x) == pytest.approx(math.tanh(x), abs=2e-7)


def test_sliding_evaluation_is_what_the_predictor_sees(reader: Backend, model: Transformer) -> None:
    ids = np.random.default_rng(3).integers(0, V, 70).astype(np.uint8)
    sequence, nats = Sequence(reader), []
    for current, following in pairwise(ids.tolist()):
        nats.append(-torch.from_numpy(sequence.read([current])).log_softmax(-1)[following].item())
    score = evaluate(beside(model, counts_for(model)), ids, protocol="sliding")
    assert score.chars == 69
    assert score.nats_per_char == pytest.approx(np.mean(nats), abs=1e-5)


def test_a_long_text_costs_no_more_memory(reader: Backend) -> None:
    sequence = Sequence(reader)
    sequence.read(np.zeros(10_000, np.uint8))
    assert sequence.engine.windows.held[0] <= 12
    assert len(sequence.engine.windows.history[0]) <= 12 + max(7, CONTEXT_REACH + 1)
