"""Stream: stop strings never leak, lengths are exact, equal seeds write equal text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letterwise.errors import UserError
from letterwise.inference.stopping import StopFinder


def first_stop(text: str, stops: list[str]) -> str:
    """The plain statement: read a letter at a time; once the text ends in stop strings, all before the longest of them."""
    for end in range(1, len(text) + 1):
        if complete := [s for s in stops if text[:end].endswith(s)]:
            return text[: end - max(map(len, complete))]
    return text


@settings(deadline=None, max_examples=500)
@given(
    pieces=st.lists(st.text("ab-", max_size=4), max_size=12),
    stops=st.lists(st.text("ab-", min_size=1, max_size=4), max_size=3),
)
def test_text_passes_up_to_the_first_stop_however_it_is_cut(pieces: list[str], stops: list[str]) -> None:
    finder, passed = StopFinder(stops), ""
    for end, piece in enumerate(pieces, 1):
        passed += finder.feed(piece)
        assert first_stop("".join(pieces[:end]), stops).startswith(passed)  # nothing of a complete stop string got out
        if finder.found:
            break
    passed += finder.finish()
    assert passed == first_stop("".join(pieces), stops)  # and so it is the same however it was cut
    assert finder.found == ("stop" if any(s in "".join(pieces) for s in stops) else "")


def test_text_that_cannot_become_a_stop_passes_at_once() -> None:
    finder = StopFinder(["STOP"])
    assert finder.feed("no ST") == "no "
    assert finder.feed("ART") == "START"


def test_exactly_as_many_characters_as_asked(tiny) -> None:
    for count in (0, 1, 31, 32, 33, 100):
        assert len(tiny.generate("The ", num_tokens=count, rng_seed=1)) == count


def test_pieces_join_to_the_whole(tiny) -> None:
    pieces = list(tiny.stream("The ", num_tokens=60, rng_seed=3))
    assert len(pieces) == 60
    assert "".join(pieces) == tiny.generate("The ", num_tokens=60, rng_seed=3)


def test_equal_seeds_write_equal_text_and_others_do_not(tiny) -> None:
    texts = {seed: tiny.generate("The ", num_tokens=80, temperature=2.0, rng_seed=seed) for seed in (1, 2)}
    assert texts[1] == tiny.generate("The ", num_tokens=80, temperature=2.0, rng_seed=1)
    assert texts[1] != texts[2]
    assert tiny.generate(num_tokens=80, temperature=2.0) != tiny.generate(num_tokens=80, temperature=2.0)


def test_greedy_writes_what_was_learned(tiny) -> None:
    assert tiny.generate("The cat sat", num_tokens=8, greedy=True) == " on the "


def test_stop_ends_before_the_string(tiny) -> None:
    whole = tiny.generate("The cat", num_tokens=60, greedy=True)
    assert ". " in whole
    assert tiny.generate("The cat", num_tokens=60, greedy=True, stop=[". ", "zzz"]) == whole[: whole.index(". ")]


def test_empty_and_long_prompts(tiny) -> None:
    assert len(tiny.generate("", num_tokens=10)) == 10
    long = "The cat sat on the mat. " * 20
    assert len(long) > tiny.config.model.block_size
    assert tiny.generate(long + "The dog sat", num_tokens=8, greedy=True) == " on the "


def test_unknown_characters(tiny) -> None:
    with pytest.raises(UserError, match=r"\['?€|€"):
        tiny.generate("€ The", num_tokens=3)
    assert tiny.generate("€The cat sat", num_tokens=8, greedy=True, unknown="skip") == " on the "
    with pytest.raises(UserError, match="unknown='maybe'"):
        tiny.generate("The", num_tokens=3, unknown="maybe")


@pytest.mark.parametrize(("options", "value"), [({"num_tokens": -1}, "num_tokens=-1"), ({"stop": [""]}, "stop=''")])
def test_senseless_requests(tiny, options: dict, value: str) -> None:
    with pytest.raises(UserError, match=value):
        tiny.generate("The", **options)
