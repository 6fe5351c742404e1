"""Kept: what counting made of a text, in the cache beside its ids, so that the next start need not count.

    text, settings ──KEY──▶ counts-KEY.safetensors there? ──yes, sound──▶ mapped: the same arrays
                                    └──no──▶ counted ──arrays, one after another──▶ written whole, or not ──▲

The file holds all that follows from the counts, too: smoothing many millions of n-grams takes seconds. Its key is all that
decides these numbers: the text, its vocabulary, what was asked for, and the sources that count. A file is used where its
checksum is right; of a large one, that is not looked at again as long as nobody writes to it, as with ids (data/cache.py).
"""

import contextlib
import hashlib
import json
import mmap
import os
import shutil
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from letterwise.atomic import replacing, write_bytes
from letterwise.data.cache import trusted_folder
from letterwise.data.reading.source import CHUNK
from letterwise.data.reading.unchanged import LARGE, identity, settled
from letterwise.data.token_stream import TokenStream
from letterwise.errors import UserError
from letterwise.ngrams import passage_fit
from letterwise.ngrams.backoff import BackoffLevel, BackoffModel
from letterwise.ngrams.contexts import alphabet, count_contexts
from letterwise.ngrams.contexts.fit import FITTED
from letterwise.ngrams.cross_fit import CrossFitted, cross_fit
from letterwise.ngrams.kneser_ney import Counts
from letterwise.ngrams.on_disk import count_on_disk
from letterwise.ngrams.passage_fit import PassageFitted, TrainingPrior, adapted, count_text, fitted_contexts
from letterwise.ngrams.pruned import PrunedCounts
from letterwise.ngrams.trie import Level

VERSION = 1  # of the arrays in a file
SOURCES = ("trie", "backoff", "kneser_ney", "pruned", "on_disk", "cross_fit", "passage_fit")
MIN_CHARS = 2**18  # a shorter text is counted as fast
MAX_BYTES = 2**33  # of all that is kept in a cache: what was used longest ago makes room
UNUSED_S = 60 * 86_400  # what was not used for so long is removed: the sources that count may have changed since
FREE_SHARE = 0.5  # of the disk's free bytes that one may take
NAMES = {"U8": np.uint8, "U16": np.uint16, "U32": np.uint32, "I32": np.int32, "I64": np.int64, "F32": np.float32}
HEADER = 8  # bytes of a safetensors file that say how long its header is
SMOOTHED = ("lower", "backoff", "totals", "weights")
ROWS = "rows."  # of cross-fitted counts: names of the (context, fold) rows' arrays begin so
OF_ROWS = ("lower", "backoff", "totals", "starts", "characters", "weights")
WHOLE = "0."  # of the counts of all folds: names begin so

Arrays = dict[str, np.ndarray]
T = TypeVar("T", bound=Counts | CrossFitted)


def fitted(
    stream: TokenStream,
    order: int,
    *,
    folds: int,
    max_chars: int,
    before: Sequence[Counts] = (),
    contexts: bool = False,
) -> TrainingPrior:
    """`fit_text` of a text's training part, from the cache where it is there, all but `contexts`, if these are counted."""
    text, size, line_break = stream.part("train"), len(stream.vocabulary), stream.line_break
    chars = min(max_chars, len(text))
    if passage_fit.by_disk(chars, order):  # one after another: so no more than one of them is in memory
        each = [_without(stream, order, chars, without) for without in passage_fit.WITHOUT]
        found: TrainingPrior = adapted(PassageFitted(each[0], each[1:], text, chars), before)
    else:
        chars = min(chars, passage_fit.IN_MEMORY)

        def fit() -> CrossFitted:
            return cross_fit(text, size, order, folds=folds, max_chars=chars, line_break=line_break, before=before)

        facts = {"fitted": folds, "order": order, "chars": chars}  # beside other texts, folds are combined row by row
        found = fit() if before else _kept(stream, facts, fit, lambda arrays: _as_crossfitted(arrays, stream))
    of = alphabet(stream.vocabulary, line_break)
    return fitted_contexts(found, of, folds=folds, chars=chars) if contexts else found


def counted(stream: TokenStream, order: int, max_chars: int, *, contexts: bool = False) -> Counts:
    """`count_text` of the end of a text's training part, from the cache where it is there; and its `contexts`."""
    found = _counted(stream, order, max_chars)
    if not contexts:
        return found
    text = stream.part("train")[-min(max_chars, FITTED) :]
    of = alphabet(stream.vocabulary, stream.line_break)
    return found.with_contexts(count_contexts(text, len(stream.vocabulary), of))


def _counted(stream: TokenStream, order: int, max_chars: int) -> Counts:
    text = stream.part("train")[-max_chars:]
    order = min(order, len(text))
    if passage_fit.by_disk(len(text), order):
        return _without(stream, order, len(text), None)

    def count() -> Counts:
        return count_text(text, len(stream.vocabulary), order, stream.line_break)

    return _kept(stream, {"order": order, "chars": len(text)}, count, lambda arrays: _as_counts(arrays, "", stream))


def _without(stream: TokenStream, order: int, chars: int, without: tuple[int, int] | None) -> Counts:
    """Counts of the end of a large text, `without` a fold or whole."""
    text = stream.part("train")[-chars:]

    def count() -> Counts:
        return count_on_disk(text, len(stream.vocabulary), order, stream.line_break, without=without)

    asked = {"order": order, "chars": chars, "without": without or "nothing"}
    return _kept(stream, asked, count, lambda arrays: _as_counts(arrays, "", stream))


def _kept(stream: TokenStream, asked: dict[str, Any], make: Callable[[], T], read: Callable[[Arrays], T]) -> T:
    """What `make` gives, or what `read` makes of its arrays, where they are kept, or can be."""
    folder = trusted_folder()
    if asked["chars"] < MIN_CHARS or folder is None or stream.folder.parent != folder:
        return make()
    facts = {**asked, "text": stream.fingerprint, "vocabulary": stream.vocabulary.to_json(), "lines": stream.lines}
    facts |= {"version": VERSION, "bounds": stream.bounds, "counting": _counting()}
    facts |= {"tuning": stream.tuning} if stream.tuning else {}
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    place = stream.folder / f"counts-{key[:32]}.safetensors"
    found = mapped(place, key, read)
    if found is None:
        made = make()
        found = mapped(place, key, read) if _written(place, key, _arrays(made), folder) else None
        return found or made  # what is mapped is in memory no longer than it is used
    with contextlib.suppress(OSError):  # of a cache that can only be read, nothing is removed
        os.utime(place.with_suffix(".json"))  # it is still used
    return found


def _counting() -> str:
    """A hash of the sources that decide what is counted, and NumPy's version."""
    sources = [Path(__file__).with_name(f"{name}.py").read_bytes() for name in SOURCES]
    return hashlib.sha256(b"".join([*sources, np.__version__.encode()])).hexdigest()


def mapped(place: Path, key: str, read: Callable[[Arrays], T]) -> T | None:
    """What `read` makes of a file's arrays, read-only; None where it is not there, not that of the `key`, or damaged."""
    try:
        found = identity(place)
        with place.open("rb") as file:
            whole = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        begin = HEADER + int.from_bytes(whole[:HEADER], "little")
        header: dict[str, Any] = json.loads(whole[HEADER:begin])
        facts = header.pop("__metadata__")
        if facts["key"] != key or begin + int(facts["bytes"]) != len(whole):
            return None
        made = read(
            {
                name: np.frombuffer(whole, NAMES[of["dtype"]], of["shape"][0], begin + of["data_offsets"][0])
                for name, of in header.items()
            }
        )
        if found is None or found[2] < LARGE or _checked(place) != [*found]:
            if _crc32(place, begin, header) != int(facts["crc32"]) or not consistent(made):
                return None
            if found == identity(place) and settled(found):
                with contextlib.suppress(OSError, UserError):  # a cache that can only be read is used all the same
                    write_bytes(place.with_suffix(".json"), json.dumps(found).encode())
        if hasattr(whole, "madvise"):
            whole.madvise(mmap.MADV_WILLNEED)
        return made
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OverflowError):
        return None


def _facts(header: Mapping[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True).encode()


def _crc32(place: Path, begin: int, header: Mapping[str, Any]) -> int:
    """Of a file's header and what follows it. Read and not mapped: what is mapped counts as this process's memory."""
    crc32 = zlib.crc32(_facts(header))
    with place.open("rb") as file:
        file.seek(begin)
        while chunk := file.read(CHUNK):
            crc32 = zlib.crc32(chunk, crc32)
    return crc32


def _checked(place: Path) -> Any:
    """Which file was found sound there: its identity."""
    try:
        return json.loads(place.with_suffix(".json").read_bytes())
    except (OSError, ValueError):
        return None


def _written(place: Path, key: str, arrays: Arrays, cache: Path) -> bool:
    """Whether arrays could be put into a file that `mapped` reads, one in the format of safetensors. `cache` has others."""
    kinds = {np.dtype(kind): name for name, kind in NAMES.items()}
    ordered = dict(sorted(arrays.items(), key=lambda item: (-item[1].itemsize, item[0])))  # so each is aligned
    header, end = dict[str, Any](), 0
    for name, array in ordered.items():
        header[name] = {"dtype": kinds[array.dtype], "shape": [len(array)], "data_offsets": [end, end + array.nbytes]}
        end += array.nbytes
    crc32 = zlib.crc32(_facts(header))
    for array in ordered.values():
        crc32 = zlib.crc32(np.ascontiguousarray(array).data, crc32)
    facts = {"key": key, "bytes": str(end), "crc32": str(crc32)}
    head = json.dumps({"__metadata__": facts, **header}).encode()
    head += b" " * (-len(head) % HEADER)
    try:
        _make_room(cache, end)
        if end > min(MAX_BYTES, FREE_SHARE * shutil.disk_usage(cache).free):
            return False
        with replacing(place) as file:
            file.write(len(head).to_bytes(HEADER, "little") + head)
            for array in ordered.values():
                file.write(np.ascontiguousarray(array).data)
        if (written := identity(place)) and written[2] >= LARGE:  # its checksum is of what was written
            write_bytes(place.with_suffix(".json"), json.dumps(written).encode())
    except (OSError, UserError):  # counts are made anew next time
        return False
    return True


def _make_room(cache: Path, size: int) -> None:
    """Remove what nobody uses, and what was used longest ago: with `size` bytes more, `MAX_BYTES` are kept at most."""
    kept = []
    for place in cache.glob("*/counts-*.safetensors"):
        with contextlib.suppress(OSError):  # another process was faster
            used = place.with_suffix(".json")
            kept.append(((used if used.exists() else place).stat().st_mtime, place.stat().st_size, place))
    for last, taken, place in sorted(kept, reverse=True):
        size += taken
        if size > MAX_BYTES or time.time() - last > UNUSED_S:
            with contextlib.suppress(OSError):  # it may not be changed: there is less room
                place.unlink()
                place.with_suffix(".json").unlink(missing_ok=True)


def _arrays(made: Counts | CrossFitted) -> Arrays:
    """All arrays of what was counted, and of what follows from it."""
    if isinstance(made, CrossFitted):
        rows = {f"{ROWS}{j}.{name}": getattr(level, name) for j, level in enumerate(made.smoothed.levels) for name in OF_ROWS}
        whole = {WHOLE + name: array for name, array in _arrays(made.counts).items()}
        return {**whole, **rows, "depths": made.depths, "top": made.top, "folds": np.array([made.folds])}
    found = {"counted": np.array([made.chars])}
    for j, (level, smooth) in enumerate(zip(made.levels, made.smoothed.levels, strict=True)):
        parts = {"starts": level.starts, "characters": level.characters, "counts": level.counts}
        parts |= {name: getattr(smooth, name) for name in SMOOTHED}
        if j < made.order - 1:
            parts["keys"] = level.keys  # of the last level, nothing is looked up
        if isinstance(made, PrunedCounts):
            parts |= {"all": made.totals[j], "few": made.counts_of_counts[j]}
        found |= {f"{j}.{name}": array for name, array in parts.items()}
    return found


def _as_crossfitted(arrays: Arrays, stream: TokenStream) -> CrossFitted:
    """The inverse of `_arrays` for what is fitted to a text."""
    text, size, whole = stream.part("train"), len(stream.vocabulary), _as_counts(arrays, WHOLE, stream)
    levels = [BackoffLevel(*(arrays[f"{ROWS}{j}.{name}"] for name in OF_ROWS)) for j in range(whole.order)]
    return CrossFitted(whole, BackoffModel(levels, size), text, arrays["depths"], arrays["top"], int(arrays["folds"][0]))


def _as_counts(arrays: Arrays, prefix: str, stream: TokenStream) -> Counts:
    """The inverse of `_arrays` for counts, whose arrays' names begin with the prefix."""
    own = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
    size, order = len(stream.vocabulary), sum(name.endswith(".starts") for name in own)
    levels = [Level(*(own[f"{j}.{name}"] for name in ("starts", "characters", "counts")), size) for j in range(order)]
    for j, level in enumerate(levels[:-1]):
        vars(level)["keys"] = own[f"{j}.keys"]
    smoothed = [
        BackoffLevel(**{name: own[f"{j}.{name}"] for name in OF_ROWS})  # starts and characters are those of the counts
        for j in range(order)
    ]
    chars = int(own["counted"][0])
    if "0.all" in own:
        each = ([own[f"{j}.{name}"] for j in range(order)] for name in ("all", "few"))
        counts: Counts = PrunedCounts(levels, size, chars, *each)
    else:
        counts = Counts(levels, size, chars)
    vars(counts).update(suffixes=[level.lower for level in smoothed], smoothed=BackoffModel(smoothed, size))
    return counts


def consistent(made: Counts | CrossFitted) -> bool:
    """Whether what was kept fits itself. A checksum keeps accidents out; what compiled code is given is checked by itself."""
    if isinstance(made, CrossFitted):
        levels, depths, top = made.smoothed.levels, made.depths, made.top
        rows = [len(level.backoff) for level in levels]
        below = [1, *rows[:-1]]
        within = len(depths) == len(top) == made.counts.chars and rows[0] == made.folds and top.min() >= 0
        highest = [int(top[depths == j].max(initial=0)) for j in range(len(levels))]
        sound = all(map(_fits, levels, rows, below, [made.smoothed.vocab_size] * len(levels)))
        return (
            within and depths.max() < len(levels) and all(map(int.__lt__, highest, rows)) and sound and consistent(made.counts)
        )
    rows, below = 1, 1
    for level, smooth in zip(made.levels, made.smoothed.levels, strict=True):
        if not _fits(smooth, rows, below, made.vocab_size) or len(level.counts) != len(level.characters):
            return False
        rows, below = len(level.characters), rows
    return all(len(level.keys) == len(level.characters) for level in made.levels[:-1])


def _fits(level: BackoffLevel, rows: int, below: int, size: int) -> bool:
    """Whether a level of so many rows, over one of `below` rows, is one."""
    starts, entries, lower = level.starts, len(level.characters), level.lower
    if {len(lower), len(level.backoff), len(level.totals), len(starts) - 1} != {rows} or len(level.weights) != entries:
        return False
    ascending = starts[0] == 0 and starts[-1] == entries and bool((np.diff(starts) >= 0).all())
    return ascending and level.characters.max(initial=0) < size and 0 <= lower.min(initial=0) <= lower.max(initial=0) < below
