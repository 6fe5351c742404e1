"""Mixed requests: whatever joins and leaves beside it, each text is the one that it is alone, to the last character."""

import json
from collections.abc import Iterator

import jaxtyping
import numpy as np
import pytest
from data.plain_suffix_array import plain_suffix_array
from inference.test_engine import lively
from priors import counts_for

from letterwise.checkpoint.weights import weights_of
from letterwise.config import ModelConfig
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import Diverged, UserError
from letterwise.inference.backend import Backend
from letterwise.inference.constraints.guide import Guide
from letterwise.inference.constraints.limits import Limits
from letterwise.inference.cpu.backend import CompiledBackend
from letterwise.inference.engine import Engine, Sequence
from letterwise.inference.generate import Generation, Request
from letterwise.inference.sampling.copies import CopyLimit
from letterwise.inference.sampling.sampler import Sampler
from letterwise.inference.torch_backend import TorchBackend
from letterwise.model import Transformer

LETTERS = Vocabulary("char", '\n "(),:[]abcde{}')
TRAINING = plain_suffix_array(np.random.default_rng(0).integers(0, len(LETTERS), 200))
CONFIG = ModelConfig(n_layer=1, n_head=2, n_kv_head=1, n_embd=16, block_size=12, counts_order=3)
TREE = {"$defs": {"t": {"type": "array", "items": {"$ref": "#/$defs/t"}}}, "$ref": "#/$defs/t"}
SAMPLERS = [
    {}, {"temperature": 0.4}, {"temperature": 2.5, "top_k": 3}, {"top_p": 0.7}, {"min_p": 0.2}, {"typical_p": 0.5},
    {"greedy": True},
    {"logit_bias": {"a": 2.0, "e": -3.0}}, {"repetition_penalty": 1.7, "penalty_window": 5}, {"presence_penalty": 2.0},
    {"frequency_penalty": 0.5, "top_k": 4, "temperature": 0.8}, {"beam": 2},
]  # fmt: skip
LIMITS = [
    {}, {}, {"stop": ("ab", "cc")}, {"stop": ("e",)}, {"until_line": True}, {"charset": "abcde \n"}, {"exclude": "ab"},
    {"regex": "[a-d]{3,12}( [a-e]+)*"}, {"regex": "(a|b)*c(d|e){2}"}, {"must_contain": ("dad", "add")},
    {"regex": "(?x) [abc]+ d? \\n?"}, {"grammar": 'start: "(" start* ")" | "a"'}, {"json_schema": json.dumps(TREE)},
    {"max_copy": 3},
]  # fmt: skip


def compiled(model: Transformer, line_break: int | None) -> Backend:
    return CompiledBackend(model.config, len(LETTERS), weights_of(model), counts_for(model), line_break)


def plain(model: Transformer, line_break: int | None) -> Backend:
    return TorchBackend(model, counts_for(model), line_break)


def request(seed: int) -> Request:
    """Any request. Prompts may be empty, or longer than the context; constraints have one length, as each makes tables."""
    random = np.random.default_rng(seed)
    sampler, limits = Sampler(**SAMPLERS[random.integers(len(SAMPLERS))]), dict(LIMITS[random.integers(len(LIMITS))])
    prompt = random.integers(0, len(LETTERS), random.integers(0, 30))
    length = 30 if set(limits) & {"regex", "must_contain", "grammar", "json_schema"} else int(random.integers(0, 60))
    copies = None
    if "max_copy" in limits:
        copies = CopyLimit(TRAINING, LETTERS, limits["max_copy"], prompt)
    if sampler.beam:
        length = min(length, 6)
        limits = {name: value for name, value in limits.items() if name in ("stop", "charset", "until_line")}
        copies = None
    return Request(prompt, sampler, Limits(num_tokens=length, **limits), seed, copies)


Outcome = tuple[str, str]
ROUNDED = 3  # texts in which two backends may differ: each draw does in about one of a million


def finish(generation: Generation, engine: Engine) -> Outcome:
    """The rest of its text, and what ended it."""
    text = ""
    while not generation.ended:
        engine.step()
        text += generation.piece()
    return text, generation.ended


def begin(engine: Engine, request: Request) -> Generation:
    sequence = engine.join()
    sequence.feed(request.prompt)
    return Generation(sequence, LETTERS, request)


def alone(backend: Backend, request: Request) -> Outcome:
    engine = Engine(backend)
    return finish(begin(engine, request), engine)


def together(backend: Backend, requests: list[Request], rows: int, seed: int) -> tuple[list[Outcome], int]:
    """Each joins at some step, when there is room; one in ten leaves before its end ("left"). And the most side by side."""
    random, engine = np.random.default_rng(seed), Engine(backend, rows)
    waiting, running, most = list(enumerate(requests)), dict[int, Generation](), 0
    texts, ends = [""] * len(requests), [""] * len(requests)
    while waiting or running:
        for _ in range(min(len(waiting), engine.free, random.integers(0, 4))):
            i, asked = waiting.pop(0)
            running[i] = begin(engine, asked)
        most = max(most, len(running))
        engine.step()
        for i, generation in list(running.items()):
            texts[i] += generation.piece()
            ends[i] = generation.ended
            if not ends[i] and random.random() < 0.02:
                generation.sequence.leave()
                ends[i] = "left"
            if ends[i]:
                del running[i]
    return list(zip(texts, ends, strict=True)), most


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Shapes are not executed, which smaller tests see to."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def is_as_alone(mixed: Outcome, whole: Outcome) -> bool:
    """The same text and end; of one that left, the beginning."""
    return whole[0].startswith(mixed[0]) if mixed[1] == "left" else mixed == whole


@pytest.mark.parametrize(
    ("build", "line_break", "count"), [(compiled, None, 1000), (compiled, 0, 100), (plain, None, 60), (plain, 0, 90)]
)
def test_mixed_requests_are_written_as_each_alone(build, line_break: int | None, count: int, unchecked: None) -> None:
    """And in PyTorch as by the kernel, but for a character that rounding may change on some processor."""
    model, requests = lively(CONFIG, vocab_size=len(LETTERS)), [request(seed) for seed in range(count)]
    backend = build(model, line_break)
    each = [alone(backend, asked) for asked in requests]
    mixed, most = together(backend, requests, 24, seed=count)
    assert most > 10
    assert [pair for pair in zip(mixed, each, strict=True) if not is_as_alone(*pair)] == []
    assert {end for _, end in mixed} == {"length", "stop", "line", "match", "left"}
    if build is compiled:
        mixed, _ = together(plain(model, line_break), requests, 24, seed=count + 1)
        assert sum(map(is_as_alone, mixed, each)) >= count - ROUNDED


def test_equal_seeds_and_other_options_do_not_disturb() -> None:
    """One request among strangers, at any row and time."""
    backend = compiled(lively(CONFIG, vocab_size=len(LETTERS)), None)
    asked = Request(LETTERS.encode("abc"), Sampler(), Limits(num_tokens=50), rng_seed=7)
    expected = alone(backend, asked)
    for strangers in range(1, 8):
        engine = Engine(backend, 8)
        for seed in range(strangers):
            begin(engine, request(seed))  # nobody holds it, so it leaves at once
        others = [begin(engine, request(100 * strangers + seed)) for seed in range(strangers)]
        for _ in range(strangers):
            engine.step()
        assert finish(begin(engine, asked), engine) == expected
        assert engine.free == 8 - sum(not other.ended and other.sequence.row in engine.sequences for other in others)


def test_a_full_engine_takes_no_more() -> None:
    engine = Engine(compiled(lively(CONFIG, vocab_size=len(LETTERS)), None), 2)
    one, other = engine.join(), engine.join()
    assert engine.free == 0
    with pytest.raises(RuntimeError, match="all 2 rows"):
        engine.join()
    one.leave()
    assert engine.join().row == one.row
    del other
    assert engine.free == 2


class Failing(Guide):
    """A guide that loses its way after some characters."""

    def __init__(self, after: int) -> None:
        self.left = after

    def allowed(self) -> np.ndarray:
        if not self.left:
            raise UserError("lost")
        return np.ones(len(LETTERS), bool)

    def is_accepting(self) -> bool:
        return False

    is_finished = is_accepting

    def advance(self, id: int) -> bool:
        self.left -= 1
        return True


def test_what_goes_wrong_in_one_hurts_no_other() -> None:
    backend = compiled(lively(CONFIG, vocab_size=len(LETTERS)), None)
    engine, asked = Engine(backend, 3), Request(LETTERS.encode("abc"), Sampler(), Limits(num_tokens=40))
    generation, lost, broken = begin(engine, asked), begin(engine, asked), begin(engine, asked)
    lost.sequence.guide, lost.sequence.dfa_guide = Failing(3), None
    broken.state.bias[:] = np.nan
    text = ""
    while not (lost.sequence.error and broken.sequence.error):
        engine.step()
        text += generation.piece()
    with pytest.raises(Diverged):
        broken.piece()
    assert len(lost.piece()) == 3
    with pytest.raises(UserError, match="lost"):
        lost.piece()
    assert engine.free == 2
    rest, ended = finish(generation, engine)
    assert (text + rest, ended) == alone(backend, asked)


def test_a_sequence_that_is_read_needs_no_sampler() -> None:
    """It stands beside those that are written, and is read with them."""
    backend = compiled(lively(CONFIG, vocab_size=len(LETTERS)), None)
    engine, ids = Engine(backend, 2), [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7]
    reader, generation = engine.join(), begin(engine, request(3))
    for id in ids:
        reader.feed([id])
        engine.step()
    assert generation.sequence.ended or generation.sequence.written
    np.testing.assert_array_equal(reader.logits(), Sequence(backend).read(ids))
