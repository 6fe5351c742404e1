"""Counts that are kept in the cache: the same numbers as by counting, and never those of anything else."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from ngrams.test_ngrams import skewed

from letterwise.config import DataConfig
from letterwise.data.prepare import prepare
from letterwise.data.token_stream import TokenStream
from letterwise.ngrams import Counts, kept, on_disk, passage_fit
from letterwise.ngrams.cross_fit import CrossFitted
from letterwise.ngrams.passage_fit import PassageFitted, TrainingPrior, count_text, fit_text
from letterwise.ngrams.storage import to_arrays

FIT = {"folds": 10, "max_chars": 2000}


@pytest.fixture
def stream(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> TokenStream:
    monkeypatch.setattr(kept, "MIN_CHARS", 0)
    return made(tmp_path / "text", seed=1)


def made(path: Path, seed: int, **options: bool) -> TokenStream:
    path.write_text("".join(np.array(list("abcde\n"))[skewed(3000, 6, seed)]))
    return prepare(DataConfig(input_file=(str(path),), **options), note=lambda text: None)


@pytest.fixture(params=["in memory", "passages"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[TrainingPrior]:
    """With "passages", the text is a large one."""
    if request.param == "in memory":
        return CrossFitted
    monkeypatch.setattr(passage_fit, "IN_MEMORY", 500)
    for module in (on_disk, passage_fit):
        monkeypatch.setattr(module, "PASSAGE", 100)
    monkeypatch.setattr(on_disk.count_on_disk, "__kwdefaults__", {**on_disk.count_on_disk.__kwdefaults__, "max_ngrams": 200})
    return PassageFitted


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was counted, not taken from the cache."""
    done: list[str] = []
    for name in ("cross_fit", "count_text", "count_on_disk"):
        monkeypatch.setattr(kept, name, noted(getattr(kept, name), done))
    return done


ONCE = {CrossFitted: ["cross_fit"], PassageFitted: ["count_on_disk"] * 5}  # what is counted to fit a text


def noted(function: Callable[..., object], done: list[str]) -> Callable[..., object]:
    def call(*arguments: object, **options: object) -> object:
        done.append(function.__name__)
        return function(*arguments, **options)

    return call


def require_same_counts(found: Counts, expected: Counts, ids: np.ndarray) -> None:
    assert type(found) is type(expected)
    mine, theirs = to_arrays(found), to_arrays(expected)
    assert mine.keys() == theirs.keys()
    for name in mine:
        np.testing.assert_array_equal(mine[name], theirs[name])
    starts = np.array([0, 7, 900])
    for orders in (1, found.order):
        log_probs = [counts.log_probs_at(ids, starts, 300, orders) for counts in (found, expected)]
        np.testing.assert_array_equal(*log_probs)


def require_same(found: TrainingPrior, expected: TrainingPrior) -> None:
    assert type(found) is type(expected)
    require_same_counts(found.counts, expected.counts, expected.ids)
    starts = np.array([0, 400, 690, 705, 1500, 2600])
    for orders in (1, 4):
        np.testing.assert_array_equal(*(prior.log_probs_at(starts, 90, orders) for prior in (found, expected)))


@pytest.mark.parametrize("lines", [False, True])
def test_the_next_start_has_the_same_numbers_without_counting(
    tmp_path: Path, stream: TokenStream, kind: type[TrainingPrior], counting: list[str], lines: bool
) -> None:
    stream = made(tmp_path / "other", seed=2, lines=lines)
    expected = fit_text(stream.part("train"), 6, 4, line_break=stream.line_break, **FIT)
    assert type(expected) is kind
    for _ in range(3):
        require_same(kept.fitted(stream, 4, **FIT), expected)
    assert counting == ONCE[kind]


@pytest.mark.parametrize("kind", ["in memory", "passages"], indirect=True)
def test_counts_of_a_whole_are_kept_too(stream: TokenStream, kind: type[TrainingPrior], counting: list[str]) -> None:
    ids = stream.part("train")
    for chars in (2000, 100, 2000, 100):
        require_same_counts(kept.counted(stream, 4, chars), count_text(ids[-chars:], 6, 4), ids)
    assert len(counting) == 2


def test_beside_counts_of_other_texts(stream: TokenStream, kind: type[TrainingPrior]) -> None:
    before = [count_text(skewed(800, 6, seed=5), 6, 4)]
    expected = fit_text(stream.part("train"), 6, 4, before=before, **FIT)
    for _ in range(2):
        require_same(kept.fitted(stream, 4, before=before, **FIT), expected)


def test_what_decides_the_numbers_decides_the_file(
    tmp_path: Path, stream: TokenStream, counting: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.fitted(stream, 4, **FIT)
    kept.fitted(stream, 3, **FIT)
    kept.fitted(stream, 4, folds=9, max_chars=2000)
    kept.fitted(stream, 4, folds=10, max_chars=1999)
    kept.fitted(made(tmp_path / "other", seed=3), 4, **FIT)
    kept.counted(stream, 4, 2000)
    monkeypatch.setattr(kept, "_counting", lambda: "another formula")
    kept.fitted(stream, 4, **FIT)
    assert len(counting) == 7


def test_what_is_damaged_or_foreign_is_made_anew(stream: TokenStream, kind: type[TrainingPrior], counting: list[str]) -> None:
    expected = fit_text(stream.part("train"), 6, 4, **FIT)
    kept.fitted(stream, 4, **FIT)
    place, *others = stream.folder.glob("counts-*")
    kept.fitted(stream, 3, **FIT)
    other = (set(stream.folder.glob("counts-*")) - {place, *others}).pop()
    sound = place.read_bytes()
    rng = np.random.default_rng(0)
    places = (*range(0, 400, 27), *rng.integers(0, len(sound), 12))
    flipped = [sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :] for at in places]
    for content in (b"", b"{", sound[:100], sound[:-1], sound + b"x", other.read_bytes(), *flipped):
        place.write_bytes(content)
        counting.clear()
        found = kept.fitted(stream, 4, **FIT)
        assert counting == ONCE[kind][:1]
        assert place.read_bytes() == sound
    require_same(found, expected)


def test_the_file_is_one_that_safetensors_reads(stream: TokenStream, kind: type[TrainingPrior]) -> None:
    counts = kept.counted(stream, 4, 2000)
    (place,) = stream.folder.glob("counts-*")
    arrays = safetensors.numpy.load_file(place)
    for name in ("starts", "characters", "counts", "keys"):
        np.testing.assert_array_equal(arrays[f"2.{name}"], getattr(counts.levels[2], name))


def test_counts_of_the_whole_are_those_that_folds_are_beside(stream: TokenStream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passage_fit, "IN_MEMORY", 500)
    whole = kept.counted(stream, 4, 2000)
    monkeypatch.setattr(kept, "count_on_disk", partial(refused, kept.count_on_disk))
    require_same_counts(kept.fitted(stream, 4, **FIT).counts, whole, stream.part("train"))


def refused(count: Callable[..., Counts], *arguments: object, without: tuple[int, int] | None) -> Counts:
    """Counts of folds only."""
    assert without
    return count(*arguments, without=without)


def test_no_more_is_kept_than_a_bound(stream: TokenStream, monkeypatch: pytest.MonkeyPatch, counting: list[str]) -> None:
    kept.fitted(stream, 4, **FIT)
    (first,) = stream.folder.glob("counts-*")
    monkeypatch.setattr(kept, "MAX_BYTES", int(first.stat().st_size * 1.5))
    kept.fitted(stream, 4, folds=10, max_chars=1999)
    (second,) = stream.folder.glob("counts-*.safetensors")
    assert second != first
    monkeypatch.setattr(kept, "MAX_BYTES", 100)
    counting.clear()
    kept.fitted(stream, 4, **FIT)
    assert counting == ["cross_fit"]
    assert not list(stream.folder.glob("counts-*"))


def test_a_checked_file_is_not_read_through(stream: TokenStream, monkeypatch: pytest.MonkeyPatch, counting: list[str]) -> None:
    """As long as nobody writes to it."""
    monkeypatch.setattr(kept, "LARGE", 0)
    with monkeypatch.context() as patched:
        patched.setattr(kept, "_crc32", None)
        for _ in range(2):
            kept.fitted(stream, 4, **FIT)
    assert counting == ["cross_fit"]
    (place,) = stream.folder.glob("counts-*.safetensors")
    content = bytearray(place.read_bytes())
    content[-1] ^= 1
    place.write_bytes(content)
    kept.fitted(stream, 4, **FIT)
    assert counting == ["cross_fit"] * 2


def test_nothing_is_kept_where_others_can_write(stream: TokenStream, counting: list[str], cache: Path) -> None:
    (cache / "streams").chmod(0o777)
    for _ in range(2):
        kept.fitted(stream, 4, **FIT)
    assert counting == ["cross_fit"] * 2
    assert not list(stream.folder.glob("counts-*"))


def test_short_texts_are_counted_each_time(stream: TokenStream, monkeypatch: pytest.MonkeyPatch, counting: list[str]) -> None:
    monkeypatch.setattr(kept, "MIN_CHARS", 2001)
    kept.fitted(stream, 4, **FIT)
    assert not list(stream.folder.glob("counts-*"))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("0.2.starts", 9999),
        ("0.2.starts", -1),
        ("0.3.characters", 7),
        ("0.3.lower", 90000),
        ("rows.2.lower", -1),
        ("top", 9999),
    ],
)
def test_what_contradicts_itself_is_made_anew_whatever_its_checksum_says(
    stream: TokenStream, counting: list[str], monkeypatch: pytest.MonkeyPatch, name: str, change: int
) -> None:
    """Compiled code is given some of it."""
    arrays = kept._arrays

    def wrong(made: Counts | TrainingPrior) -> dict[str, np.ndarray]:
        found = arrays(made)
        if name not in found:  # what this is made of
            return found
        values = found[name].copy()
        values[len(values) // 2] = change
        return {**found, name: values}

    with monkeypatch.context() as patched:
        patched.setattr(kept, "_arrays", wrong)
        kept.fitted(stream, 4, **FIT)
    require_same(kept.fitted(stream, 4, **FIT), fit_text(stream.part("train"), 6, 4, **FIT))
    assert counting == ["cross_fit"] * 2


def test_what_nobody_used_for_long_is_removed(stream: TokenStream) -> None:
    kept.fitted(stream, 4, **FIT)
    (old,) = stream.folder.glob("counts-*")
    os.utime(old, (0, 0))
    kept.fitted(stream, 3, **FIT)
    assert not old.exists()
