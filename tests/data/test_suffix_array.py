"""Suffixes: what is found is what Python's `in` and `find` say, in one piece or in several, and the cache never lies."""

from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from data.plain_suffix_array import plain_runs, plain_suffix_array
from hypothesis import given, settings
from hypothesis import strategies as st

from letterwise.config import DataConfig
from letterwise.data import suffix_array
from letterwise.data.prepare import prepare
from letterwise.data.suffix_array import suffixes_of

TEXT = "the cat sat on the mat. the dög sat on the log. " * 3 + "a cat, a mat, a log, at last"


def as_ids(text: str, dtype: type = np.uint8) -> np.ndarray:
    return np.frombuffer(text.encode("ascii"), np.uint8).astype(dtype) - ord("a")


@settings(max_examples=300)
@given(
    text=st.text("ab", min_size=1, max_size=130) | st.text("abcd", min_size=1, max_size=130),
    query=st.text("abcx", max_size=20),
    copied=st.tuples(st.integers(0, 120), st.integers(0, 40)),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    pieces=st.sampled_from([(2**25, 2**16), (8, 61), (32, 61)]),
)
def test_runs_places_and_what_follows(text: str, query: str, copied: tuple[int, int], dtype: type, pieces: tuple) -> None:
    query = query[:7] + text[copied[0] : sum(copied)] + query[7:]
    with patch.multiple(suffix_array, PIECE=pieces[0], OVERLAP=pieces[1]):
        index = plain_suffix_array(as_ids(text, dtype))
    ids = as_ids(query).astype(np.int64)
    assert index.runs(np.where(ids > 3, -1, ids)).tolist() == plain_runs(query, text)
    for start, end in plain_runs(query, text):
        assert index.first(ids[start:end]) == text.find(query[start:end])
    for length in range(4):
        run = query[:length]
        following = {text[i + len(run)] for i in range(len(text) - len(run)) if text[i:].startswith(run)}
        assert index.following(ids[:length], 4).nonzero()[0].tolist() == as_ids("".join(sorted(following))).tolist()


@settings(max_examples=100)
@given(text=st.text("ab", min_size=1, max_size=80), query=st.text("abc", max_size=80), far=st.integers(1, 5))
def test_runs_that_overlap_far(text: str, query: str, far: int) -> None:
    """What is told stands in the text; of runs up to that long all are told, and of others each character is in one."""
    with patch.object(suffix_array, "EXACT_UP_TO", far):
        runs = plain_suffix_array(as_ids(text)).runs(as_ids(query)).tolist()
    assert all(query[start:end] in text for start, end in runs)
    for start, end in plain_runs(query, text):
        assert [start, end] in runs or end - start > far
    for length in range(1, far + 1):
        told, there = ({i for a, b in each if b - a >= length for i in range(a, b)} for each in (runs, plain_runs(query, text)))
        assert told == there


def test_a_stretch_of_one_character_does_not_cost_its_square() -> None:
    """Longer than any in the text: it stands in it from everywhere on."""
    ids = np.append(np.zeros(50_000, np.uint8), np.uint8(1))
    order = np.append(np.arange(50_000), 50_000).astype(np.int32)  # the longer the stretch of zeros, the earlier
    assert suffix_array.Suffixes(ids, order).runs(np.zeros(100_000, np.int64))[0].tolist() == [0, 50_000]


def test_pieces_that_overlap_by_as_much_as_a_run_is_long_hide_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it stands, across their borders too."""
    monkeypatch.setattr(suffix_array, "PIECE", 10)
    monkeypatch.setattr(suffix_array, "OVERLAP", 4)
    text = "abcdefghijklmnopqrstuvwxyz" * 2
    index = plain_suffix_array(as_ids(text))
    assert len(index.pieces) > 3
    assert index.reach == 4
    for start in range(len(text) - 5):
        assert index.runs(as_ids(text[start : start + 4])).tolist() == [[0, 4]]
        assert index.following(as_ids(text[start : start + 4]), 26).nonzero()[0].tolist() == as_ids(text[start + 4]).tolist()


def test_sorted_once_kept_and_checked(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the training part only. What is damaged, or made in another way, is made anew."""
    (tmp_path / "t.txt").write_text(TEXT)
    text = prepare(DataConfig(input_file=(str(tmp_path / "t.txt"),)), note=print)
    train = TEXT[: text.bounds[0]]

    def ask(run: str) -> int:
        return suffixes_of(text).first(text.vocabulary.encode(run))

    assert ask("dög sat") == train.find("dög sat")
    assert ask("at la") == -1  # behind the training part
    kept = text.folder / "suffixes.bin"
    before = kept.read_bytes(), kept.stat().st_mtime_ns
    assert np.frombuffer(before[0], np.int32).tolist() == sorted(range(len(train)), key=lambda i: train[i:])
    ask("cat")
    assert kept.stat().st_mtime_ns == before[1]
    for damaged in (before[0][:-4], before[0][:-1] + b"\x7f", b""):
        kept.write_bytes(damaged)
        assert ask("dög sat") == train.find("dög sat")
        assert kept.read_bytes() == before[0]
    (text.folder / "suffixes.json").write_text("[" * 10**5)
    assert ask("dög sat") == train.find("dög sat")
    monkeypatch.setattr(suffix_array, "PIECE", 50)
    assert ask("dög sat") == train.find("dög sat")
    assert len(kept.read_bytes()) > len(before[0]) or len(train) <= suffix_array.OVERLAP


def test_a_kept_order_that_is_not_sorted_leads_nowhere_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python runs the searches, which checks every index: what is kept is known to be a permutation, and no more."""
    for name in ("edge", "span", "bound", "mark_following", "occurs", "earliest_start", "maximal"):
        monkeypatch.setattr(suffix_array, name, getattr(suffix_array, name).function)
    draw = np.random.default_rng(0)
    for size in [*range(1, 9)] * 30:
        index = suffix_array.Suffixes(draw.integers(0, 2, size).astype(np.uint8), draw.permutation(size).astype(np.int32))
        query = draw.integers(0, 2, 12)
        runs = index.runs(query)
        assert ((runs >= 0) & (runs <= query.size)).all()
        for length in range(size + 1):
            assert -1 <= index.first(query[:length]) < size
            assert index.following(query[:length], 2).shape == (2,)


def test_an_alphabet_of_more_than_256_characters(tmp_path: Path, cache: Path) -> None:
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 400))) * 2
    (tmp_path / "t.txt").write_text(text)
    stream = prepare(DataConfig(input_file=(str(tmp_path / "t.txt"),), val_fraction=0.0), note=print)
    assert stream.ids.dtype == np.uint16
    index = suffixes_of(stream)
    for start in range(0, 390, 13):
        run = stream.vocabulary.encode(text[start : start + 5])
        assert index.first(run) == start
        assert index.following(run, 400).nonzero()[0].tolist() == [start + 5]
