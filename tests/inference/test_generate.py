"""Stream: stop strings never leak, lengths are exact, equal seeds write equal text."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import letterwise
from letterwise.cli.commands.generate import never_stops
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.inference import engine, generate
from letterwise.inference.stop import StopFinder


def first_line(text: str) -> str:
    """The plain statement: up to and with the first line break."""
    return text[: text.index("\n") + 1] if "\n" in text else text


def first_stop(text: str, stops: list[str]) -> str:
    """The plain statement: read a letter at a time; once the text ends in stop strings, all before the longest of them."""
    for end in range(1, len(text) + 1):
        if complete := [s for s in stops if text[:end].endswith(s)]:
            return text[: end - max(map(len, complete))]
    return text


@settings(max_examples=500)
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
    assert len(pieces[0]) == 1  # the first is there as soon as it can be
    assert "".join(pieces) == tiny.generate("The ", num_tokens=60, rng_seed=3)


@pytest.mark.parametrize(
    "options",
    [{}, {"temperature": 1.7, "exclude": "cd"}, {"top_k": 3, "logit_bias": {"o": 2.0}}, {"top_p": 0.9}, {"min_p": 0.1},
     {"typical_p": 0.8}, {"greedy": True}, {"regex": "[a-z ]{60}( [a-z]+[.])+"},
     {"must_contain": ["cat", "dog"], "top_p": 0.7}, {"regex": ".{9}(mat. (The |A )?)*", "greedy": True}],
    ids=lambda options: " ".join(options) or "plain",
)  # fmt: skip
def test_many_at_a_time_is_one_by_one(tiny, monkeypatch: pytest.MonkeyPatch, options: dict) -> None:
    """What compiled code draws and reads in one go is what is drawn and read step by step; contexts fill on the way."""
    some = tiny.samples("The ", num_tokens=150, num_samples=3, rng_seed=5, **options).texts()
    monkeypatch.setattr("letterwise.inference.sampling.sampler.SamplerState.free", False)
    assert tiny.samples("The ", num_tokens=150, num_samples=3, rng_seed=5, **options).texts() == some


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


@given(pieces=st.lists(st.text("ab\n", max_size=4), max_size=12))
def test_a_line_is_let_go_at_once_and_ends(pieces: list[str]) -> None:
    finder, passed = StopFinder((), until_line=True), ""
    for end, piece in enumerate(pieces, 1):
        passed += finder.feed(piece)
        assert passed == first_line("".join(pieces[:end]))
        if finder.found:
            break
    assert finder.found == ("line" if "\n" in passed else "")
    assert finder.finish() == ""


def first_end(text: str, stops: list[str]) -> str:
    """The plain statement: whichever is complete first; where both are, the stop string."""
    for end in range(1, len(text) + 1):
        if any(text[:end].endswith(stop) for stop in stops):
            return first_stop(text, stops)
        if text[end - 1] == "\n":
            return text[:end]
    return text


@settings(max_examples=300)
@given(
    pieces=st.lists(st.text("ab\n", max_size=4), max_size=5),
    stops=st.lists(st.text("ab\n", min_size=1, max_size=3), max_size=3),
)
def test_of_a_line_and_a_stop_the_first_to_be_complete_ends_the_text(pieces: list[str], stops: list[str]) -> None:
    finder, passed = StopFinder(stops, until_line=True), ""
    for piece in pieces:
        passed += finder.feed(piece)
        if finder.found:
            break
    assert passed + finder.finish() == first_end("".join(pieces), stops)


def test_what_ended_a_text_is_told(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(**options) -> tuple[str, str]:
        samples = tiny.samples("The cat", num_tokens=60, rng_seed=1, **options)
        return samples.texts()[0], samples.ended[0]

    whole, length = ended(greedy=True)
    assert (len(whole), length) == (60, "length")
    assert ended(greedy=True, stop=". ") == (whole[: whole.index(". ")], "stop")
    assert ended(greedy=True, regex=" sat[a-z ]*[.]") == (whole[: whole.index(".") + 1], "match")
    assert ended(regex="( [a-z]+)+")[1] == "match"  # the model wanted a full stop: 60 letters would not be the tiny text's
    now = iter(range(100))
    monkeypatch.setattr(engine, "clock", lambda: next(now))
    assert ended(greedy=True, max_seconds=4) == (whole[:21], "time")  # it began at 0; letters at 1, 2 and 3: 1, 4 and 16


def test_time_that_is_up_completes_what_has_to_match(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(100))
    monkeypatch.setattr(engine, "clock", lambda: next(now))
    samples = tiny.samples("The cat", regex=" sat on the [a-z]{3,9}[.]", max_seconds=3)
    assert re.fullmatch(r" sat on the [a-z]{3}\.", samples.texts()[0])
    assert samples.ended == ["time"]


def test_a_constraint_bends_what_was_learned(tiny) -> None:
    """What was learned goes on " sat on the"; what has to match decides which animal does."""
    assert tiny.generate("", regex="The (dog|fox) sat on the log[.]", greedy=True) == "The dog sat on the log."
    assert "owl" in tiny.generate("The cat", must_contain="owl", num_tokens=40, rng_seed=2)
    assert set(tiny.generate("The ", charset="acto ", rng_seed=3)) <= set("acto ")
    assert not set(tiny.generate("The ", exclude="aeiou", rng_seed=3)) & set("aeiou")
    assert "c" not in tiny.generate("The ", logit_bias={"c": -100.0}, rng_seed=3)


def test_beam_writes_what_is_likeliest(tiny) -> None:
    assert tiny.generate("The cat sat", num_tokens=8, beam=3) == " on the "


def test_one_sample_does_not_disturb_another(tiny) -> None:
    """Two texts written by turns are the two that are written one after the other."""
    apart = [tiny.generate("The ", num_tokens=40, temperature=2.0, rng_seed=seed) for seed in (1, 2)]
    one, other = (tiny.stream("The ", num_tokens=40, temperature=2.0, rng_seed=seed) for seed in (1, 2))
    assert ["".join(pieces) for pieces in zip(*zip(one, other, strict=True), strict=True)] == apart


@pytest.mark.parametrize("options", [{}, {"regex": " [a-z ]{3,30}[.]"}, {"stop": "at", "temperature": 2.0}, {"top_p": 0.9}])
def test_samples_are_the_same_in_any_company(tiny, monkeypatch: pytest.MonkeyPatch, options: dict) -> None:
    apart = [tiny.generate("The cat", num_tokens=40, rng_seed=seed, **options) for seed in range(5, 10)]
    assert tiny.samples("The cat", num_tokens=40, num_samples=5, rng_seed=5, **options).texts() == apart
    monkeypatch.setattr(generate, "SIDE_BY_SIDE", 2)
    assert tiny.samples("The cat", num_tokens=40, num_samples=5, rng_seed=5, **options).texts() == apart


def test_penalties_count_what_is_read_and_written(tiny) -> None:
    """So dear is each character of the window that ten in a row are ten different ones, and none of the last of the prompt."""
    text = tiny.generate("The cat", num_tokens=10, presence_penalty=1000.0, penalty_window=12, rng_seed=1)
    assert len(set(text)) == 10
    assert not set(text[:5]) & set("The cat")


def test_a_vocabulary_of_one_character(tmp_path) -> None:
    """There is nothing to choose, and nothing goes wrong."""
    (tmp_path / "a.txt").write_text("a" * 400)
    shape = dict(n_layer=1, n_head=1, n_embd=8, block_size=8, batch_size=2, max_iters=2, warmup_iters=0)
    model = letterwise.train(tmp_path / "a.txt", out=tmp_path / "out", **shape)
    for options in (
        {},
        {"top_k": 1},
        {"top_p": 0.5},
        {"typical_p": 0.5},
        {"greedy": True},
        {"beam": 2},
        {"must_contain": "aa"},
    ):
        assert model.generate("", num_tokens=12, **options) == "a" * 12
    assert model.generate("aaa", regex="a{3}") == "aaa"
    assert model.generate("", stop="aa") == ""
    with pytest.raises(UserError, match="has never seen 'b'"):
        model.generate("", regex="ab")


def test_texts_are_whole_however_often_and_after_whatever_they_are_asked_for(tiny) -> None:
    """A caller may show pieces as they come, or some of them, and ask for the texts in the end."""
    asked = dict(prompt="The ", num_tokens=40, num_samples=3, rng_seed=5)
    whole = [tiny.generate("The ", num_tokens=40, rng_seed=5 + k) for k in range(3)]
    samples = tiny.samples(**asked)
    next(iter(samples))
    assert samples.texts() == samples.texts() == whole
    assert list(samples) == []
    nothing = tiny.samples("The", num_tokens=0, num_samples=2)
    assert nothing.texts() == ["", ""]


@pytest.mark.parametrize(
    ("stop", "told"),
    [
        (r"\n", r"waits for a backslash and the letter n.* write --stop \$'\\n'"),
        (r"it's\n\d", r"write --stop \$'it\\'s\\n\\\\d'\.$"),
        ("a€", "never comes: the model has never seen '€'"),
        ("a\n", None),
        ("a", None),
    ],
)
def test_a_stop_that_never_comes_is_told(stop: str, told: str | None) -> None:
    why = never_stops(stop, Vocabulary("char", "\n\\an"))
    assert why is None if told is None else why and re.search(told, why)
