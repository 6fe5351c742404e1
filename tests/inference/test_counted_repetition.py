"""Counted repetition: the language that was asked for, whatever counts stand in or beside each other, and within the budget."""

import itertools
import random
import re
import time

import pytest

from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.inference.constraints.constraint import Constraint
from letterwise.inference.constraints.language.dfa import START
from letterwise.inference.constraints.limits import Limits

AB, LONGEST = Vocabulary("char", "ab"), 7
TEXTS = ["".join(text) for n in range(LONGEST + 1) for text in itertools.product("ab", repeat=n)]
COUNTS = ("", "?", "*", "+", "{2}", "{0}", "{1,2}", "{2,3}", "{0,2}", "{3,}", "{4,5}")


def counted(draw: random.Random, depth: int) -> str:
    """A regex of counts in and beside counts."""
    part = draw.choice("ab") if depth == 0 or draw.random() < 0.2 else f"({counted(draw, depth - 1)})"
    several = [part + draw.choice(COUNTS)]
    while draw.random() < 0.4:
        several.append(draw.choice((part, f"({counted(draw, 0)})")) + draw.choice(COUNTS))
    return ("|" if draw.random() < 0.2 else "").join(several)


def test_counts_mean_what_python_means() -> None:
    draw = random.Random(1)
    for regex in ["(aa){2,3}", "(a{2}){3,4}", "(a?){3}a{2}", "((a?){2}b){2}", "(a|b?){3}", "(a{3,4}){2,3}", *(
        counted(draw, 2) for _ in range(30)
    )]:  # fmt: skip
        wanted = {text for text in TEXTS if re.fullmatch(regex, text)}
        try:
            dfa = Constraint(AB, Limits(num_tokens=LONGEST, regex=regex)).dfa
        except UserError:
            assert not wanted, regex
            continue
        assert dfa, regex
        found = set()
        for text in TEXTS:
            state = START
            for id in AB.encode(text):
                state = int(dfa.transitions[state, dfa.classes[id]])
            found |= {text} if dfa.distances[state] == 0 else set()
        assert found == wanted, regex


@pytest.mark.parametrize(
    ("regex", "num_tokens", "needed"),
    [
        ("(a?){3000}a{3000}", 3000, 3000), ("(a|b?){2000}", 100, 0), ("((a?){50}){50}", 2500, 0), ("a{10000}", 10_000, 10_000),
        ("(a|ab){1000}(b?){1000}", 2000, 1000),
    ],
)  # fmt: skip
def test_large_counts_are_served(regex: str, num_tokens: int, needed: int) -> None:
    dfa = Constraint(AB, Limits(num_tokens=num_tokens, regex=regex)).dfa
    assert dfa
    assert dfa.distances[START] == needed


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"regex": "(a?){3000}a{3000}"}, "num_tokens=100 is too short: a text that matches takes 3000"),
        ({"regex": "(a|ab){3000}(b?){3000}"}, "a text that matches takes 3000"),
        ({"regex": "((ab?){1,40}b?){60}a{90}"}, "a text that matches takes 150"),
        ({"regex": "(a?){1500}a{1500}", "must_contain": ("aa",)}, "a text that matches takes 1500"),
        ({"regex": "(a?){1500}a{1500}", "must_contain": ("b",)}, "no text of this model's vocabulary"),
        ({"regex": "(a?){1500}a{1500}c"}, "the model has never seen 'c'"),
        ({"regex": "(ab|b){9000}"}, "it makes more than 20,000 states"),
        ({"regex": "(ab?){9000}b{9000}"}, "takes more than 10,000 characters"),
    ],
)
def test_what_is_said_of_large_counts_is_so_and_said_in_time(asked: dict, sentence: str) -> None:
    began = time.process_time()
    with pytest.raises(UserError, match=re.escape(sentence)):
        Constraint(AB, Limits(num_tokens=100, **asked))
    assert time.process_time() - began < 20  # it was a minute; with its types checked, the code is slow


def test_what_was_not_found_in_time_is_not_said_to_be_nowhere() -> None:
    """Where only llguidance reads: a model of bytes."""
    with pytest.raises(UserError, match=r"; there may be one|too many choices at one place"):
        Constraint(Vocabulary("byte"), Limits(num_tokens=4000, regex="(a?){3000}a{3000}"))
