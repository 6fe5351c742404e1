"""Outcome: a run judges longer training only from what it has seen."""

from pathlib import Path

import pytest

from letterwise.data.token_stream import TokenStream
from letterwise.data.vocabulary import Vocabulary
from letterwise.training.report.result import advice, opening


def rows(*steps: tuple[int, float]) -> list[dict[str, float]]:
    """Rows of metrics.jsonl: steps, and nats at validation."""
    return [{"step": step, "seconds": 2.0 * step, "val_nats_per_char": nats} for step, nats in steps]


def test_few_steps_are_no_ground_for_a_verdict() -> None:
    """On a busy machine a minute may be four steps: their flat curve is the warm-up."""
    assert advice(rows((0, 1.0))) == "No training step was taken."
    assert advice(rows((0, 1.0), (1, 0.9996), (4, 0.9993))).startswith("Too few steps (4)")
    assert advice(rows((0, 1.0), (50, 0.9))).startswith("Too few validations")


def test_a_curve_that_is_long_enough_is_judged() -> None:
    """Falling, flat and rising ends are told apart."""
    assert advice(rows((0, 1.0), (50, 0.9), (100, 0.8))).startswith("Longer training would help")
    assert advice(rows((0, 1.0), (50, 0.9), (100, 0.8999))).startswith("Longer training would hardly help")
    assert advice(rows((0, 1.0), (50, 0.9), (100, 0.95))).startswith("Longer training would not help")


@pytest.mark.parametrize(
    ("text", "seed"),
    [
        ("\n The  moon is up", "The moon"), ("name\tage\nAda\t36", "name"), ("月\u3000が", "月"), ("\x1b[31mred", ""),
        ("a\0b", "a"), ("one\r\ntwo", "one"), ("x" * 30, "x" * 24), ("", ""),
    ],
)  # fmt: skip
def test_the_seed_that_is_proposed_can_be_typed_and_is_known(text: str, seed: str) -> None:
    """No space where the text has none, and nothing that a terminal obeys."""
    vocabulary = Vocabulary("char", "".join(sorted(set(text))))
    ids = vocabulary.encode(text)
    stream = TokenStream(ids, vocabulary, "", (len(ids),) * 3, (), Path())
    assert opening(stream) == seed
    assert set(opening(stream)) <= set(text)
