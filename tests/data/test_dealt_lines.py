"""Lines: all of them are there, none on two sides, always in the same order, whatever ends them."""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from letterwise.config import DataConfig
from letterwise.data import lines as line_data
from letterwise.data.line_ends import with_line_ends
from letterwise.data.lines import LineSet, digest, find_lines, shuffled
from letterwise.data.prepare import encode_corpus, prepare
from letterwise.data.token_stream import TokenStream
from letterwise.data.vocabulary import Vocabulary, code_points
from letterwise.errors import UserError

SHARED = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
texts = st.lists(st.text("abé\r ", max_size=3), min_size=1, max_size=30).map("\n".join).filter(lambda text: text.strip("\n\r"))


def dealt(path: Path, text: str, **options) -> TokenStream:
    path.write_bytes(text.encode())
    return prepare(DataConfig(input_file=(str(path),), lines=True, **options), note=lambda text: None)


def lines_of(made: TokenStream, part: str) -> list[str]:
    """A part's lines, after the line break that it begins with."""
    text = made.vocabulary.decode(made.part(part))
    assert text[0] == "\n" == text[-1]
    return text[1:].split("\n")[:-1]


def plain(text: str) -> list[str]:
    """The lines of a text that are not empty, however they end."""
    return [line for line in text.replace("\r\n", "\n").split("\n") if line]


@SHARED
@given(text=texts, fraction=st.sampled_from([0.0, 0.1, 0.5]), kind=st.sampled_from(["char", "byte"]))
def test_every_line_is_on_one_side(tmp_path: Path, cache: Path, text: str, fraction: float, kind: str) -> None:
    if not plain(text):
        return
    made = dealt(tmp_path / "t", text, val_fraction=fraction, vocab=kind)
    train, val = lines_of(made, "train"), lines_of(made, "val")
    assert Counter(train) + Counter(val) == Counter(plain(text))  # as often as they were
    assert not set(train) & set(val)
    different = len(set(plain(text)))
    assert len(set(train)) == max(1, int(different * (1 - fraction) + 1e-9))
    assert lines_of(made, "all") == train + val
    assert made.ids[0] == made.line_break


@SHARED
@given(text=texts, seed=st.integers(0, 99))
def test_the_split_does_not_depend_on_the_order_of_the_file(tmp_path: Path, cache: Path, text: str, seed: int) -> None:
    lines = [line for line in plain(text) if not line.endswith("\r")]  # which a line break would take for a part of itself
    if not lines:
        return
    other = np.random.default_rng(seed).permutation(lines).tolist()
    one, two = dealt(tmp_path / "t", "\n".join(lines)), dealt(tmp_path / "u", "\r\n".join(other) + "\r\n")
    assert [lines_of(one, part) for part in ("train", "val")] == [lines_of(two, part) for part in ("train", "val")]


def test_lines_are_shuffled_and_a_longer_text_keeps_most_of_them_where_they_were(tmp_path: Path, cache: Path) -> None:
    names = [f"name {i}" for i in range(1000)]
    val = set(lines_of(dealt(tmp_path / "t", "\n".join(names)), "val"))
    assert len(val) == 100
    assert sum(int(name.split()[1]) for name in val) / 100 == pytest.approx(500, abs=6 * 289 / 10)
    longer = set(lines_of(dealt(tmp_path / "u", "\n".join([*names, "name Z"])), "val"))
    assert len(val & longer) >= 99


@given(text=st.text("ab\r\n\u2028", max_size=30), cuts=st.sets(st.integers(1, 29)), whole=st.booleans())
def test_line_ends_are_all_alike_however_the_text_comes(text: str, cuts: set[int], whole: bool) -> None:
    edges = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    chunks = [code_points(text[a:b]) for a, b in pairwise(edges)]
    got = "".join(chr(point) for points in with_line_ends(iter(chunks), whole=whole) for point in points)
    expected = text.replace("\r\n", "\n")
    assert got == expected + ("\n" if whole and expected and expected[-1] != "\n" else "")


@given(text=st.text("ab\né", max_size=40), others=st.lists(st.text("abé", max_size=4), max_size=10), many=st.booleans())
def test_a_set_of_lines_is_a_set(text: str, others: list[str], many: bool) -> None:
    for vocabulary in (Vocabulary("char", "\nabé"), Vocabulary("byte")):
        with pytest.MonkeyPatch.context() as patch:
            if many:
                patch.setattr(line_data, "CHARS_AT_ONCE", 3)
            found = find_lines(vocabulary.encode(text), vocabulary)
            known = LineSet(vocabulary.encode(text), vocabulary)
            lines = [line for line in text.split("\n") if line]
            assert [
                vocabulary.decode(ids).strip("\n") for ids in map(found.taken, np.arange(len(lines))[:, None]) for ids in ids
            ] == lines
            assert found.digests.tolist() == [digest(vocabulary.encode(line), vocabulary) for line in lines]
            assert [line in known for line in (*others, *lines)] == [line in lines for line in (*others, *lines)]


def test_digests_are_shuffled_into_shares() -> None:
    parts = shuffled(np.array([7, 3, 7, 9, 1, 3], np.uint64), (0.5, 0.25, 0.25))
    assert [part.tolist() for part in parts] == [[4, 1, 5], [0, 2], [3]]
    assert [len(part) for part in shuffled(np.array([5], np.uint64), (0.5, 0.5))] == [1, 0]


def test_lines_of_a_validation_file_are_not_learned(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "v").write_text("b\nz\r\n")
    notes: list[str] = []
    (tmp_path / "t").write_text("a\nb\nc\nb")
    config = DataConfig(input_file=(str(tmp_path / "t"),), val_file=(str(tmp_path / "v"),), lines=True)
    made = prepare(config, note=notes.append)
    assert (sorted(lines_of(made, "train")), sorted(lines_of(made, "val"))) == (["a", "c"], ["b", "z"])
    assert notes == ["2 lines of the text are in --val_file, too, and are left out of the training part."]
    (tmp_path / "v").write_text("a\nb\nc")
    with pytest.raises(UserError, match="no line to learn"):
        prepare(config, note=notes.append)


def test_a_text_without_lines_is_refused(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(UserError, match="has no line to learn"):
        dealt(tmp_path / "t", "\n\r\n\n")


def test_files_do_not_share_a_line(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").write_text("two")
    made = prepare(DataConfig(input_file=(str(tmp_path),), lines=True, val_fraction=0), note=lambda text: None)
    assert sorted(lines_of(made, "train")) == ["one", "two"]


def test_in_order_a_text_stays_as_it_is(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "t").write_bytes(b"b\r\n\r\na\nb")
    config = DataConfig(input_file=(str(tmp_path / "t"),), lines=True)
    made = encode_corpus(config, Vocabulary("char", "\nab"), in_order=True, note=lambda text: None)
    assert made.vocabulary.decode(made.part("all")) == "b\n\na\nb"
    assert made.line_break is None
    again = encode_corpus(config, Vocabulary("char", "\nab"), note=lambda text: None)
    assert again.fingerprint != made.fingerprint
    assert sorted(lines_of(again, "all")) == ["a", "b", "b"]


def test_lines_make_another_fingerprint_and_are_kept(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "t").write_text("a\nb\nc\n")
    one = prepare(DataConfig(input_file=(str(tmp_path / "t"),)), note=lambda text: None)
    two, again = dealt(tmp_path / "t", "a\nb\nc\n"), dealt(tmp_path / "t", "a\nb\nc\n")
    assert one.fingerprint != two.fingerprint == again.fingerprint
    assert (again.line_break, again.bounds, again.ids.tolist()) == (0, two.bounds, two.ids.tolist())
    assert sorted(path.name for path in (cache / "streams" / two.fingerprint).iterdir()) == ["ids.bin", "meta.json"]


def test_copies_of_a_line_are_all_kept_back_or_none(tmp_path: Path) -> None:
    stream = dealt(tmp_path / "lines.txt", "".join(f"line {n % 10}\n" for n in range(1_000)))
    for share in (0.05, 0.15, 0.3, 0.5):
        kept = stream.keeping_back(share)
        mine, others = set(plain(kept.vocabulary.decode(kept.tuning_part))), set(lines_of(kept, "train"))
        assert not mine & others
        assert mine | others == set(lines_of(stream, "train"))
    assert len(mine) >= 3
