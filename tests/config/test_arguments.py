"""Arguments from Python: the kind that is asked for, or a sentence that names them. Nothing raises a bare `TypeError`."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import letterwise
from letterwise.config.arguments import argument
from letterwise.errors import UserError

SAME = dict(rng_seed=1, num_tokens=8)


def test_numbers_are_taken_as_they_come() -> None:
    for value in (3, 3.0, np.int64(3), np.float32(3), np.uint8(3), Fraction(3)):
        assert argument("n", value, int) == 3
        assert type(argument("n", value, int)) is int
        assert type(argument("n", value, float)) is float
    assert argument("n", None, int | None, 7) == 7
    assert argument("n", np.bool_(True), bool) is True
    for value in (3.5, float("nan"), float("inf"), True, "3", [3], 10**400, object(), {}):
        with pytest.raises(UserError, match=r"^n="):
            argument("n", value, float if value == 10**400 else int)
    with pytest.raises(UserError, match="thousands of digits"):
        argument("n", 10**5000, float)


def test_none_is_the_default_and_whole_floats_are_whole(tiny) -> None:
    for name in (
        "temperature", "top_k", "top_p", "min_p", "typical_p", "repetition_penalty", "penalty_window", "logit_bias", "greedy",
        "beam", "stop", "until_line", "max_seconds", "charset", "exclude", "must_contain", "regex", "json_schema", "grammar",
        "max_copy",
    ):  # fmt: skip
        assert tiny.generate("The", **SAME, **{name: None}) == tiny.generate("The", **SAME)
    assert len(tiny.generate("The", num_tokens=1e1)) == 10
    assert tiny.samples(None, num_samples=np.int32(2), rng_seed=1.0).texts() == tiny.samples(num_samples=2, rng_seed=1).texts()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prompt", 5), ("num_tokens", 1.5), ("num_tokens", "10"), ("temperature", "hot"), ("top_k", [1]), ("top_p", {}),
        ("greedy", "yes"), ("stop", 5), ("stop", ["a", 5]), ("must_contain", [None]), ("charset", 5), ("exclude", b"a"),
        ("regex", 5), ("json_schema", 5), ("json_schema", {"a": object()}), ("grammar", object()), ("logit_bias", ["e"]),
        ("logit_bias", {"e": "x"}), ("logit_bias", {5: 1.0}), ("num_samples", "two"), ("rng_seed", "x"), ("max_seconds", "1"),
        ("penalty_window", float("inf")), ("max_copy", 1.5),
    ],
)  # fmt: skip
def test_another_kind_is_a_sentence_that_names_it(tiny, name: str, value: object) -> None:
    with pytest.raises(UserError, match=name):
        tiny.samples(**{name: value})


def test_files_and_lines(tiny, tiny_lines) -> None:
    for call in (
        lambda: letterwise.load(5),
        lambda: tiny.evaluate(5),
        lambda: tiny.evaluate([None]),
        lambda: letterwise.train(5),
        lambda: letterwise.load(["a", "b"]),
        lambda: letterwise.load(None),
        lambda: tiny.compress(5),
        lambda: tiny.decompress("\ud800"),
        lambda: tiny.compress_file(None, "x"),
        lambda: tiny.save(5),
    ):
        with pytest.raises(UserError, match="names no file"):
            call()
    for n in ("2", 1.5, None, []):
        with pytest.raises(UserError, match=r"^n=|--lines 0"):
            tiny_lines.lines(n)
    assert len(list(tiny_lines.lines(2.0, None, num_tokens=None, max_seconds=None, exclude=None, rng_seed=1))) == 2


def test_texts_to_read(tiny) -> None:
    for call in (tiny.score, tiny.novelty, tiny.cost, tiny.heat_map, tiny.logits, tiny.attention):
        for value in (5, b"The cat", ["The cat"], Path("t.txt")):
            with pytest.raises(UserError, match=r"^text=.* is not a text"):
                call(value)
    for value in ("x", 1.5):
        with pytest.raises(UserError, match=r"^nearest="):
            tiny.novelty("The cat", nearest=value)
    for chunks in ("The cat", ["The cat"], b"The cat", [None]):
        with pytest.raises(UserError, match="is no piece of bytes"):
            list(tiny.follow(chunks))
    with pytest.raises(UserError, match="give a list of them"):
        next(letterwise.api.classify([tiny, tiny], "The cat"))
    with pytest.raises(UserError, match="1 model has nothing"):
        next(letterwise.api.classify(tiny, ["The cat"]))
    assert tiny.compress(bytearray(b"The cat")) == tiny.compress(memoryview(b"The cat")) == tiny.compress(b"The cat")


def test_a_configuration_says_so_too(text_file: Path) -> None:
    for knobs in (
        {"n_layer": 10**5000},
        {"n_layer": "x" * 5000},
        {"out": ""},
        {"config": ""},
        {"model_path": ""},
        {"dataset": ""},
    ):
        with pytest.raises(UserError, match=r"n_layer|empty|cannot read ''") as refused:
            letterwise.train(None if "dataset" in knobs else text_file, **knobs)
        assert len(str(refused.value)) < 300
