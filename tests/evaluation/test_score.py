"""Score: the mean over all characters is evaluate's, lines are the text's, ranks and alternatives what the model says."""

import io
import json
import math
import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.evaluation import heatmap
from letterwise.evaluation import score as scoring
from letterwise.evaluation.evaluate import interval
from letterwise.evaluation.score import OOV_BITS, Characters, bits_only, lines

LETTERS = Vocabulary("char", "\nab")


@pytest.mark.parametrize("protocol", ["blocks", "eighth", "sliding"])
def test_evaluate_is_the_mean_of_score(tiny, text_file, protocol: str) -> None:
    told = list(tiny.score(input_file=text_file, protocol=protocol))
    whole = tiny.evaluate(text_file, protocol=protocol)
    assert sum(line.predicted for line in told) == whole.chars
    assert sum(line.bits for line in told) / whole.chars == pytest.approx(whole.bits_per_char, abs=1e-9)
    assert "".join(line.text for line in told) == text_file.read_text()


def test_what_is_said_of_a_character_is_what_the_model_says(tiny) -> None:
    text = "The cat sat on the log."
    (line,) = tiny.score(text, closely=True)
    ids = tiny.vocabulary.encode(text).astype(np.int64)
    told = None
    if tiny.file.counts:
        told = torch.from_numpy(tiny.file.counts.log_probs_at(ids, np.array([0]), len(ids) - 1, tiny.transformer.prior.orders))
    with torch.no_grad():
        chances = tiny.transformer(torch.from_numpy(ids[:-1])[None], log_prior=told)[0].softmax(-1).numpy()
    known = line.characters
    assert known.bits[0] == 0
    assert known.ranks[0] == 0
    np.testing.assert_allclose(known.bits[1:], [-math.log2(p[i]) for p, i in zip(chances, ids[1:], strict=True)], atol=1e-4)
    for p, id, rank, best, their in zip(
        chances, ids[1:], known.ranks[1:], known.likeliest[1:], known.probabilities[1:], strict=True
    ):
        assert rank == 1 + (p > p[id]).sum()
        np.testing.assert_allclose(p[best], np.sort(p)[::-1][:5], atol=1e-5)
        assert len(set(best)) == 5
        np.testing.assert_allclose(their, np.sort(p)[::-1][:5], atol=1e-5)


@settings(max_examples=60)
@given(text=st.text("ab\n", min_size=1, max_size=40), cuts=st.sets(st.integers(1, 39)))
def test_lines_are_those_of_the_text_however_it_comes(text: str, cuts: set[int]) -> None:
    ids = LETTERS.encode(text).astype(np.int64)
    edges = [0, *sorted(c for c in cuts if c < len(ids)), len(ids)]
    scored = [bits_only(ids[a:b], ids[a:b].astype(float)) for a, b in pairwise(edges)]
    got = list(lines(scored, LETTERS))
    assert [line.text for line in got] == io.StringIO(text, newline="\n").readlines()
    assert [line.number for line in got] == list(range(1, len(got) + 1))
    assert all(text[line.start :].startswith(line.text) for line in got)
    assert sum(line.predicted for line in got) == len(text) - 1


def test_a_line_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "LONGEST", 5)
    ids = LETTERS.encode("a" * 23)
    got = list(lines([bits_only(ids[i : i + 3], np.ones(len(ids[i : i + 3]))) for i in range(0, 23, 3)], LETTERS))
    assert "".join(line.text for line in got) == "a" * 23
    assert max(len(line.text) for line in got) <= 8


def test_nothing_to_predict(tiny) -> None:
    with pytest.raises(UserError, match="2 characters or more, and the text has 1"):
        list(tiny.score("T"))
    with pytest.raises(UserError, match="'x' is not known"):
        list(tiny.score("The", protocol="x"))
    with pytest.raises(UserError, match="'ö'"):
        tiny.score("Thö", unknown="error")
    (line,) = tiny.score("Thöe", unknown="skip")
    assert (line.text, line.predicted) == ("Thöe", 2)
    with pytest.raises(UserError, match="no character that the model knows"):
        list(tiny.score("☠☠", unknown="skip"))


@pytest.mark.parametrize("protocol", ["blocks", "eighth", "sliding"])
@pytest.mark.parametrize("lines", [False, True])
def test_whatever_arrives_together_costs_what_it_costs_in_the_whole_text(tiny, tiny_lines, protocol: str, lines: bool) -> None:
    """The oracle: all at once. Pieces of any size, and of any number of lines, with characters that the model does not know."""
    model, text = (tiny_lines, "bake\nlo\r\n\nstaö☠stastanukelomi" * 3 + "\nke\n" * 9) if lines else (tiny, LINES + "The owl.")
    told = list(model.score(text, protocol=protocol))
    for size in (1, 7, 50, 1000):
        raw = text.encode()
        got = list(model.follow((raw[i : i + size] for i in range(0, len(raw), size)), protocol=protocol))
        assert [line.text for line in got] == [line.text for line in told]
        assert [line.predicted for line in got] == [line.predicted for line in told]
        np.testing.assert_allclose([line.bits for line in got], [line.bits for line in told], rtol=1e-4)


LINES = "The cat sat on the mat.\nThe dög sat on the log. ☠\r\n\n\u2028The owl" * 7


def test_an_unknown_character_costs_what_cost_charges_and_is_printed_as_it_was_written(tiny) -> None:
    """The oracle: the text without it, to which each one adds 33.4 bits, and nothing else."""
    strangers = [c for c in LINES.replace("\r\n", "\n") if c not in tiny.vocabulary]
    told = list(tiny.score(LINES, closely=True))
    assert "".join(line.text for line in told) == LINES.replace("\r\n", "\n")  # this model knows no \r
    assert [line.text for line in told] == io.StringIO(LINES.replace("\r\n", "\n"), newline="\n").readlines()
    skipped = list(tiny.score(LINES, unknown="skip", closely=True))
    assert sum(line.bits for line in told) == pytest.approx(
        sum(line.bits for line in skipped) + OOV_BITS * len(strangers), rel=1e-5
    )
    assert sum(line.predicted for line in told) == sum(line.predicted for line in skipped) + len(strangers)
    for line in told:
        for char, bits, rank in zip(line.text, line.characters.bits, line.characters.ranks, strict=True):
            assert (bits == OOV_BITS) == (rank > len(tiny.vocabulary)) == (char not in tiny.vocabulary)
    assert tiny.cost(LINES) > OOV_BITS * len(strangers)
    content = json.loads(Page(tiny.heat_map(LINES)).data)
    assert "".join(content["characters"]) == "".join(line.text for line in told)


def test_what_is_skipped_costs_nothing_and_stays_in_its_line(tiny, tmp_path) -> None:
    """The oracle: the text without it."""
    text = LINES.replace("\r\n", "\n")
    (tmp_path / "t.txt").write_text(text)
    known = text.translate({ord(c): None for c in text if c not in tiny.vocabulary and c != "\n"})
    strangers = text.count("ö") + text.count("☠") + text.count("\u2028") + text.count("\n") * ("\n" not in tiny.vocabulary)
    lean = list(tiny.score(known, unknown="skip"))
    whole, whole_file = tiny.score(text, unknown="skip"), tiny.score(input_file=tmp_path / "t.txt", unknown="skip")
    followed = tiny.follow([text[:30].encode(), text[30:].encode()], unknown="skip", protocol="blocks")
    for scored in (whole, whole_file, followed):
        found = list(scored)
        assert "".join(line.text for line in found) == text
        assert [line.start for line in found] == [text.index(line.text, line.start) for line in found]
        assert [line.predicted for line in found] == [line.predicted for line in lean]
        np.testing.assert_allclose([line.bits for line in found], [line.bits for line in lean], rtol=1e-4, atol=1e-6)
        assert (scored.tally.read, scored.tally.skipped) == (len(text), strangers)
    content = json.loads(Page(tiny.heat_map(text, unknown="skip")).data)
    assert "".join(content["characters"]) == text
    assert {content["characters"][i] for i, rank in enumerate(content["ranks"]) if not rank} <= {"T", "ö", "☠", "\u2028", "\n"}
    calibrate = tmp_path / "c.txt"
    calibrate.write_text("".join(f"The cat sat on the log. {'mat' * n}\n" for n in range(30)))
    ranked = list(tiny.rank(text, unknown="skip", calibrate=calibrate))
    assert {one.line.text.strip("\n") for one in ranked} == {line for line in text.split("\n") if line}


def test_texts_of_nothing_the_model_knows(tiny, tmp_path) -> None:
    (line,) = tiny.score("☠☠")
    assert (line.text, line.bits, line.predicted) == ("☠☠", 2 * OOV_BITS, 2)
    (tmp_path / "t").write_text("☠\n☠")
    assert [line.text for line in tiny.score(input_file=tmp_path / "t")] == ["☠\n", "☠"]
    first, second = tiny.score("☠\nThe")
    assert (first.predicted, second.predicted) == (2, 2)  # nothing tells the first character that it knows
    assert [line.text for line in tiny.follow(["☠\n".encode(), b"Th"])] == ["☠\n", "Th"]


def test_refusals_name_the_line(tiny_lines, tmp_path) -> None:
    text = "bake\nlo\nkeä☠"
    (tmp_path / "t").write_text(text)
    for ask in (
        lambda: tiny_lines.score(text, unknown="error"),
        lambda: tiny_lines.score(input_file=tmp_path / "t", unknown="error"),
        lambda: tiny_lines.evaluate(tmp_path / "t"),
        lambda: list(tiny_lines.follow([b"ba", b"ke\nlo", "\nkeä☠".encode()], unknown="error")),
    ):
        with pytest.raises(UserError, match="2 characters not in this model's vocabulary, the first in line 3: 'ä☠'"):
            ask()
    with pytest.raises(UserError, match="unknown='x' must be"):
        tiny_lines.score("bake", unknown="x")
    with pytest.raises(UserError, match="unknown='score' must be"):
        tiny_lines.evaluate(tmp_path / "t", unknown="score")


def test_ids_of_strangers_come_back() -> None:
    """Encode and spell are inverse for any text at all."""
    vocabulary = Vocabulary("char", "\nab")
    for text in ("ab\n", "", "☠", "a☠\ud800b\x00\U0010ffff\n"):
        assert vocabulary.spell(vocabulary.encode(text, "score")) == text


def test_an_interval_holds_the_mean_as_often_as_it_says() -> None:
    """Of windows drawn at random: 95 in 100 intervals hold the mean they were drawn with."""
    random = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        low, high = interval([(float(nats), 64) for nats in random.gamma(4, 16 * 1.5, 300)])
        held += low <= 1.5 <= high
    assert 0.92 <= held / 400 <= 0.98


def test_an_interval_of_runs_that_are_alike_is_as_wide_as_that_of_single_ones() -> None:
    """Ten windows in a row that are the same tell no more than one."""
    random = np.random.default_rng(0).gamma(4, 24, 100)
    low, high = interval([(float(nats), 64) for nats in random])
    low_10, high_10 = interval([(float(nats), 64) for nats in random.repeat(10)])
    assert (low_10, high_10) == pytest.approx((low, high))
    assert interval([(1.0, 5)]) is None


class Page(HTMLParser):
    """The parts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.data, self.addresses, self.inside = "", [], False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.inside = dict(attrs).get("type") == "application/json"
        self.addresses += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.data += data


@pytest.mark.parametrize("title", ["plain", "</script><script>alert(1)</script>"])
def test_the_page_holds_what_was_scored_and_asks_for_nothing(tiny, title: str) -> None:
    text = "The cat sat on the log."
    page = tiny.heat_map(text, title=title)
    parsed = Page(page)
    content = json.loads(parsed.data)
    (line,) = tiny.score(text, closely=True)
    assert "".join(content["characters"]) == text
    np.testing.assert_allclose(np.array(content["bits"]) / 1000, line.characters.bits, atol=6e-4)
    assert content["ranks"] == line.characters.ranks.tolist()
    assert content["likeliest"][0] == []
    assert [content["alphabet"][id] for id, _ in content["likeliest"][1]] == list(
        tiny.vocabulary.decode(line.characters.likeliest[1])
    )
    assert parsed.addresses == []
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("<script") == 2


def test_a_text_cannot_break_out_of_the_page() -> None:
    wild = "</script><b>&\u2028\x00\ud800"
    vocabulary = Vocabulary("char", "".join(sorted(set(wild))))
    ids = vocabulary.encode(wild).astype(np.int64)
    n = len(ids)
    scored = Characters(ids, np.ones(n), np.ones(n, int), np.zeros((n, 2), int), np.full((n, 2), 0.25))
    parsed = Page(heatmap.page(wild, [scored], vocabulary))
    assert "".join(json.loads(parsed.data)["characters"]) == wild


def test_a_page_has_an_end(monkeypatch: pytest.MonkeyPatch, tiny) -> None:
    monkeypatch.setattr(heatmap, "MAX_CHARS", 20)
    with pytest.raises(UserError, match="at most 20 characters"):
        tiny.heat_map("The cat sat on the log.")


def test_a_terminal_is_told_colours_and_never_obeys_the_text() -> None:
    vocabulary = Vocabulary("char", "\n\x1bab")
    ids = vocabulary.encode("a\x1bb\n").astype(np.int64)
    (line,) = lines([bits_only(ids, np.array([0.0, 99.0, 3.0, 1.0]))], vocabulary)
    shown = heatmap.terminal(line, vocabulary)
    assert re.sub("\x1b\\[[0-9;]*m", "", shown) == "a\\x1bb↵"
    assert f"\x1b[48;5;{heatmap.TERMINAL[-1]}m\\x1b" in shown
