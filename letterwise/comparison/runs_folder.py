"""Runs folder: the runs below a folder, as they are now, for others to show: while they learn, and after.

folder ──list_runs──▶ RunSummary of each, the newest first
folder, name, how many rows are known ──read_rows──▶ the rows that came since

Nothing that a name or a link says leads out of the folder, and nothing in it is run: what is no run, or damaged, is left out.
"""

import math
import os
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from letterwise.checkpoint.container import read_header
from letterwise.checkpoint.model_file import COUNTS, stored_config
from letterwise.comparison.runs import number
from letterwise.config import Config
from letterwise.errors import UserError
from letterwise.training.metrics.rows import END, Row, of_kind, parsed
from letterwise.training.run_directory import RunDirectory
from letterwise.units import bits, nats

MAX_METRICS = 2**26  # bytes: a larger file is no metrics.jsonl
KEPT = 256  # files, of which it is remembered what they said, as long as they do not change

SEVERAL = ("seed-", "member-", "student")  # names of runs that belong together begin so, in a folder of their own
_kept: dict[tuple[Any, ...], tuple[os.stat_result, Any]] = {}
_keeping = threading.Lock()


@dataclass(frozen=True)
class RunSummary:
    """A run as it is now.

    `state` is "training" while a process holds the run's lock, "finished" where training came to its end, and else "stopped":
    interrupted, killed, or made before ends were written down. `params` counts weights. `text` is the name of what it learns,
    without folders. `counts` says whether it learns beside counts of n-grams; `counting_nats` is what counting alone reaches on
    the validation text, known once there is a model file. `best_nats` is the best validation so far, per character. `step` and
    `seconds` are those of the last row. What is not known is None. `model_path` is there once there is a model file, in the run
    or beside it.
    """

    name: str
    path: Path
    model_path: Path | None
    state: Literal["training", "finished", "stopped"]
    preset: str | None
    size: str | None
    params: int | None
    text: str | None
    minutes: float | None
    max_iters: int | None
    step: int
    seconds: float | None
    rows: int
    best_nats: float | None
    counts: bool | None
    counting_nats: float | None
    modified: float

    def to_json(self) -> dict[str, Any]:
        """Plain containers, and no path; with `best_bits`."""
        best = self.best_nats
        figures = {name: value for name, value in asdict(self).items() if name not in ("path", "model_path")}
        return {**figures, "best_bits": None if best is None else bits(best), "has_model": self.model_path is not None}


class _Described(NamedTuple):
    config: Config | None
    params: int | None
    step: Any
    model_path: Any


@dataclass(frozen=True)
class NewRows:
    """Rows of metrics.jsonl from number `first` on: as many as were known, or 0 where the run went back or began anew."""

    first: int
    rows: list[Row]


def list_runs(folder: str | Path) -> list[RunSummary]:
    """The runs in `folder`, or in a folder of several (`NAME/seed-1`, `NAME/member-1`), the one that changed last first."""
    folder = Path(folder)
    found = [_summary(folder, path) for path in _run_paths(folder)]
    return sorted((run for run in found if run), key=lambda run: (-run.modified, run.name))


def read_rows(folder: str | Path, name: str, since_row: int = 0) -> NewRows:
    """Rows of the run that `list_runs` calls `name`, without the first `since_row`. A line comes once it is whole.

    Raises `UserError` when there is no such run in `folder`.
    """
    folder = Path(folder)
    path = next((path for path in _run_paths(folder) if _name(folder, path) == name), None)
    if path is None:
        raise UserError(f"there is no run {name!r} here.")
    rows = _rows(folder, path)
    first = since_row if 0 <= since_row <= len(rows) else 0
    return NewRows(first, list(rows[first:]))


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _run_paths(folder: Path) -> Iterator[Path]:
    """The folders that may be runs. A link that leads out of `folder` is none."""
    for path in _folders(folder, folder):
        if _is_run(path):
            yield path
        elif several := [one for one in _folders(folder, path) if one.name.startswith(SEVERAL) and _is_run(one)]:
            yield from several
        elif RunDirectory(path, path).is_written():  # it has begun, and nothing is measured yet
            yield path


def _folders(home: Path, folder: Path) -> Iterator[Path]:
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return
    yield from (path for path in paths if _inside(home, path) and path.is_dir())


def _is_run(path: Path) -> bool:
    run = RunDirectory(path, path / "model.safetensors")
    return any(map(os.path.lexists, (run.metrics, run.state)))


def _inside(home: Path, path: Path) -> bool:
    """Whether a path is there, and leads to a place in `home`."""
    try:
        return path.resolve(strict=True).is_relative_to(home.resolve())
    except (OSError, RuntimeError):  # not there; links in a circle
        return False


def _stat(home: Path, path: Path) -> os.stat_result | None:
    """Of a regular file in `home`; None where it is none."""
    try:
        found = path.stat() if _inside(home, path) else None
    except OSError:
        return None
    return found if found and stat.S_ISREG(found.st_mode) else None


def _rows(home: Path, path: Path) -> tuple[Row, ...]:
    """What a run has measured; nothing where that is more than can be shown."""
    metrics = RunDirectory(path, path).metrics
    found = _stat(home, metrics)
    if not found or found.st_size > MAX_METRICS:
        return ()
    return _remembered(found, _read_metrics, metrics)


def _remembered(found: os.stat_result, read: Callable[..., Any], *what: Any) -> Any:
    """What `read` says of a file, read anew only where it is another than before: written since, longer, or in its place."""
    with _keeping:
        before, said = _kept.pop((read, *what), (None, None))
    if before is None or _version(before) != _version(found):
        said = read(*what)
    with _keeping:
        _kept[read, *what] = found, said
        while len(_kept) > KEPT:
            del _kept[next(iter(_kept))]
    return said


def _version(found: os.stat_result) -> tuple[int, ...]:
    return found.st_mtime_ns, found.st_size, found.st_ino


def _read_metrics(path: Path) -> tuple[Row, ...]:
    """The rows of a file; none where it cannot be read."""
    try:
        with path.open("rb") as opened:
            return tuple(parsed(opened.read(MAX_METRICS)))
    except OSError:
        return ()


def _described(path: Path, weights: str) -> _Described | None:
    """What a state or a model file tells; None where it is damaged. Names of `weights` begin so."""
    try:
        header, arrays = read_header(path)
        shapes = [array["shape"] for name, array in arrays.items() if name.startswith(weights) and not name.startswith(COUNTS)]
        params = sum(math.prod(shape) for shape in shapes)
        return _Described(stored_config(header["config"]), params, header.get("step", 0), header.get("model_path", path.name))
    except (UserError, KeyError, TypeError, ValueError, AttributeError):
        return None


def _counting_nats(path: Path) -> float | None:
    """What counting alone reaches, by the record of a model file, per character."""
    try:
        found = number(read_header(path)[0]["data"]["baselines"], "counting alone")
    except (UserError, KeyError, TypeError, ValueError, AttributeError):
        return None
    return None if found is None else nats(found)


def _summary(home: Path, path: Path) -> RunSummary | None:
    """What there is to say of a run from its files; None where these are no longer there, or never were."""
    run = RunDirectory(path, path / "model.safetensors")
    training = run.is_written()
    files = [found for file in (run.state, run.metrics) if (found := _stat(home, file))]
    if not files and training:
        files = [found for found in [_stat(home, run.lock)] if found]
    if not files:
        return None
    rows, described = _rows(home, path), _Described(None, None, 0, run.relative_model_path)
    for file, weights in ((run.model_path, ""), (run.state, "weights.")):
        if found := _stat(home, file):
            described = _remembered(found, _described, file, weights) or described
    config, params, step, model = described
    model_path = _model_path(home, run, model)
    found = _stat(home, model_path) if model_path else None
    last: Row = rows[-1] if rows else {"step": step}
    best = [number(row, "val_nats_per_char") for row in of_kind(rows, None) if row.get("best")]
    best, took = [n for n in best if n is not None], [s for row in rows if (s := number(row, "seconds")) is not None]
    return RunSummary(
        name=_name(home, path),
        path=path,
        model_path=model_path,
        state="training" if training else "finished" if last.get("kind") == END else "stopped",
        preset=config.preset if config else None,
        size=config.size if config else None,
        params=params,
        text=_text(config) if config else None,
        minutes=config.training.minutes if config else None,
        max_iters=config.training.max_iters if config else None,
        step=last["step"] if type(last["step"]) is int else 0,
        seconds=took[-1] if took else None,
        rows=len(rows),
        best_nats=best[-1] if best else None,
        counts=config.model.counts_order > 0 if config else None,
        counting_nats=_remembered(found, _counting_nats, model_path) if found else None,
        modified=max(found.st_mtime for found in files),
    )


def _text(config: Config) -> str:
    names = [Path(name).name or name for name in config.data.input_file]
    return ", ".join(names) or config.data.dataset or "python-docs"


def _model_path(home: Path, run: RunDirectory, relative: Any) -> Path | None:
    """The model file that a state names, if it is there, and in `home`."""
    try:
        path = run.with_model(relative).model_path
    except (UserError, TypeError, ValueError, OSError):
        return None
    return path if _stat(home, path) else None
