"""Beam search: wide enough, it finds what trying every text finds."""

import functools
import itertools
import math

import numpy as np
import pytest
import torch

from letterwise.config import ModelConfig
from letterwise.data.vocabulary import Vocabulary
from letterwise.inference.beam import likeliest
from letterwise.inference.constraints.cache import constraint_for
from letterwise.inference.constraints.limits import Limits
from letterwise.inference.engine import Sequence
from letterwise.inference.sampling.sampler import Sampler, SamplerState
from letterwise.inference.torch_backend import TorchBackend
from letterwise.model import Transformer, build, initialize

ABC = Vocabulary("char", "\nab")
PROMPT = np.array([1, 2, 2])
ALL = 3**4


@pytest.fixture(scope="module", params=range(3))
def model(request: pytest.FixtureRequest) -> Transformer:
    """A small model, its weights drawn wide so that it has strong opinions."""
    config = ModelConfig(n_layer=1, n_head=1, n_embd=8, block_size=5, counts_order=0)
    model = initialize(build(config, 3), request.param)
    torch.manual_seed(request.param)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight))
    return model.eval()


@functools.cache
def anew(model: Transformer, ids: tuple[int, ...]) -> np.ndarray:
    """Scores of each next character, by reading everything anew."""
    return np.asarray(Sequence(TorchBackend(model)).read([*PROMPT.tolist(), *ids]), np.float64)


def log_probabilities(model: Transformer, ids: list[int], bias: np.ndarray) -> np.ndarray:
    """Of each next character."""
    scores = anew(model, tuple(ids)) + bias
    return scores - np.logaddexp.reduce(scores)


def search(model: Transformer, beam: int, sampler: dict | None = None, **request) -> tuple[str, str]:
    limits = Limits(**request)
    guide = constraint_for(ABC, limits).guide() if limits.constrained else None
    state = SamplerState(Sampler(beam=beam, **(sampler or {})), ABC, only=limits.characters(ABC))
    sequence = Sequence(TorchBackend(model))
    sequence.feed(PROMPT)
    return likeliest(sequence, ABC, state, limits, guide)


@pytest.mark.parametrize("bias", [[0.0, 0.0, 0.0], [-3.0, 0.0, 1.0]])
@pytest.mark.parametrize("ending", [None, "stop", "line"])
def test_a_wide_beam_finds_the_likeliest_of_all_texts(model: Transformer, bias: list[float], ending: str | None) -> None:
    """Every text of four letters, or up to the first line break, or before the first "ab" (which costs its probability)."""
    totals: dict[tuple[str, str], float] = {}
    for ids in itertools.product(range(3), repeat=4):
        nats, text, ended = 0.0, "", "length"
        for n, id in enumerate(ids):
            nats += log_probabilities(model, list(ids[:n]), np.array(bias))[id]
            text += ABC.characters[id]
            if (ending == "line" and id == 0) or (ending == "stop" and text.endswith("ab")):
                ended = ending
                break
        totals[text, ended] = nats
    best, ended = max(totals, key=totals.__getitem__)
    request = {"stop": {"stop": ("ab",)}, "line": {"until_line": True}}.get(ending or "", {})
    biases = {character: nats for character, nats in zip(ABC.characters, bias, strict=True) if nats}
    found = search(model, ALL, {"logit_bias": biases}, num_tokens=4, **request)
    assert found == (best.removesuffix("ab") if ended == "stop" else best, ended)


def test_a_wide_beam_finds_the_likeliest_match(model: Transformer) -> None:
    """`a*b` or `\\n+`, of three letters: the end comes with the probability of all that cannot follow."""
    odds: dict[str, float] = {}
    for text in ("b", "ab", "aab", "\n", "\n\n", "\n\n\n"):
        nats = 0.0
        for n, character in enumerate(text):
            p = log_probabilities(model, ABC.encode(text[:n]).tolist(), np.zeros(3))
            must_go_on = text[:n] == "" or text[0] != "\n"
            may = {"\n"} if text[:n].startswith("\n") else {"b"} if n == 2 else {"a", "b"} if n else {"a", "b", "\n"}
            whole = np.logaddexp.reduce([p[ABC.characters.index(c)] for c in may]) if must_go_on else 0.0
            nats += p[ABC.characters.index(character)] - whole
        if text in ("\n", "\n\n"):
            p = log_probabilities(model, ABC.encode(text).tolist(), np.zeros(3))
            nats += np.logaddexp(p[1], p[2])
        odds[text] = nats
    assert math.exp(np.logaddexp.reduce(list(odds.values()))) == pytest.approx(1, abs=1e-5)
    text, _ = search(model, ALL, num_tokens=3, regex=r"a*b|\n+")
    assert text == max(odds, key=odds.__getitem__)


def test_one_prefix_is_greedy(model: Transformer) -> None:
    ids: list[int] = []
    for _ in range(6):
        ids.append(int(log_probabilities(model, ids, np.zeros(3)).argmax()))
    assert search(model, 1, num_tokens=6) == (ABC.decode(ids), "length")
    assert search(model, 3, num_tokens=0) == ("", "length")


def test_only_what_may_be_written(model: Transformer) -> None:
    assert search(model, 5, num_tokens=4, charset="a")[0] == "aaaa"
    assert "b" in search(model, 2, num_tokens=4, must_contain=("b",))[0]


def test_a_fork_reads_on_by_itself(model: Transformer) -> None:
    """Past a full context too; and what the one reads, the other does not see."""
    for shared in ([1], [1, 2, 0, 1, 1, 2, 2, 0]):
        one = Sequence(TorchBackend(model))
        one.read(shared)
        other = one.fork()
        np.testing.assert_array_equal(other.read([]), one.read([]))
        for n in range(7):
            mine, theirs = one.read([n % 3]), other.read([2 - n % 3])
        np.testing.assert_allclose(
            mine, Sequence(TorchBackend(model)).read([*shared, *(n % 3 for n in range(7))]), rtol=1e-4, atol=1e-4
        )
        np.testing.assert_allclose(
            theirs, Sequence(TorchBackend(model)).read([*shared, *(2 - n % 3 for n in range(7))]), rtol=1e-4, atol=1e-4
        )
