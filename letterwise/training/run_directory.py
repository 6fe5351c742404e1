"""Run directory: the files of one run, and the one place that knows their names.

out/NAME/     model.safetensors (or where --model_path says) · metrics.jsonl · report.html · state.safetensors, shards · .lock
              written.npy, what a teacher wrote
"""

import os
import tempfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from letterwise.atomic import remove_leftovers, write_bytes
from letterwise.checkpoint.container import EXTENSIONS
from letterwise.checkpoint.model_file import check_extension
from letterwise.checkpoint.shards import remove_unnamed
from letterwise.checkpoint.training_state import previous
from letterwise.config import Config
from letterwise.errors import UserError
from letterwise.training.metrics.rows import Row, spelled

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

MODEL_PATH = ".model_path"  # of an ensemble: where its file is, seen from its directory
LOOKED_AT_S = 0.2  # a lock may be held for a moment by who only asks whether it is


@dataclass(frozen=True)
class RunDirectory:
    """Where a run keeps its files."""

    path: Path
    model_path: Path

    def is_there(self) -> bool:
        """Whether the directory exists. Raises `UserError` where that cannot be known: a name too long, no permission."""
        try:
            return self.path.is_dir()
        except OSError as error:
            raise UserError(f"cannot use {str(self.path)!r}: {error.strerror}. Choose another --out.") from error

    @property
    def state(self) -> Path:
        """The resumable training state."""
        return self.path / "state.safetensors"

    @property
    def metrics(self) -> Path:
        """One JSON object per validation, and between them per so many steps: metrics/rows.py."""
        return self.path / "metrics.jsonl"

    @property
    def report(self) -> Path:
        """The page about the finished run."""
        return self.path / "report.html"

    @property
    def written(self) -> Path:
        """What the run's teacher wrote for it to learn from: distill/written.py."""
        return self.path / "written.npy"

    @property
    def lock(self) -> Path:
        """Held by the process that trains here."""
        return self.path / ".lock"

    @property
    def launch(self) -> Path:
        """Which launch of several processes the run is of."""
        return self.path / ".launch"

    @property
    def tracking(self) -> Path:
        """What the run's trackers have had: metrics/tracking.py."""
        return self.path / ".tracking"

    @property
    def files(self) -> tuple[Path, ...]:
        """All of a run's files but the lock."""
        own = self.state, previous(self.state), self.metrics, self.report, self.model_path
        return (*own, self.written, self.launch, self.tracking)

    @property
    def relative_model_path(self) -> str:
        """The model file as seen from the directory, so that both can be moved together."""
        return os.path.relpath(self.model_path, self.path)

    def note_model(self) -> None:
        """Write down where the model file is to be: of an ensemble, no state in the directory itself says so."""
        write_bytes(self.path / MODEL_PATH, self.relative_model_path.encode("utf-8", "surrogateescape"))

    def with_noted_model(self) -> "RunDirectory":
        """The same, with the model file where that was written down; as it is where nothing was."""
        try:
            noted = (self.path / MODEL_PATH).read_bytes().decode("utf-8", "surrogateescape")
        except OSError:
            return self
        return self.with_model(noted)

    def with_model(self, relative: str) -> "RunDirectory":
        """The inverse of `relative_model_path`.

        A state may have been made by anyone, and may not send the model just anywhere: raises `UserError` for a place that is
        neither in the directory nor beside it.
        """
        place, home = Path(os.path.normpath(self.path / relative)), self.path.resolve()
        if place.suffix not in EXTENSIONS or place.parent.resolve() not in (home, home.parent):
            raise UserError(
                f"this run's model lies in {str(place)!r}, away from its directory: name that file again with --model_path."
            )
        return replace(self, model_path=place)

    @contextmanager
    def locked(self) -> Generator[None]:
        """Be the only one who writes into the directory; a process that dies lets go.

        Raises `UserError` when another process is writing.
        """
        lock = FileLock(self.lock)
        try:
            lock.acquire(timeout=LOOKED_AT_S)
        except Timeout:
            raise UserError(f"another process trains in {str(self.path)!r}: wait for it, or choose another --out.") from None
        except OSError as error:
            raise UserError(f"cannot lock {str(self.path)!r}: {error.strerror or error}. Choose another --out.") from error
        try:
            yield
        finally:
            lock.release()

    def is_written(self) -> bool:
        """Whether a process holds the lock at this moment, and so trains here. Nothing is made, and nothing is left."""
        if not fcntl:
            return False  # Windows: it is not known
        try:
            handle = os.open(self.lock, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # a file system without locks
            return False
        finally:
            os.close(handle)
        return False

    @property
    def has_state(self) -> bool:
        """Whether a run was saved here, and can go on: a process killed as it saves may leave only the state before."""
        return self.state.exists() or previous(self.state).exists()

    def refuse_if_used(self) -> None:
        """Raises `UserError` when a run or a model is here already."""
        for taken in (self.state, previous(self.state), self.metrics, self.model_path):
            if taken.exists():
                raise UserError(
                    f"{str(taken)!r} is there from an earlier run: --resume continues it, --overwrite replaces it, "
                    "--out DIR puts this one elsewhere."
                )

    def refuse_to_replace(self, knob: str, model: str | None) -> None:
        """Raises `UserError` where the `model` that a knob names is one of the run's own files, which it would replace."""
        if model and any(Path(model).resolve() == file.resolve() for file in self.files):
            raise UserError(f"--{knob} {model!r} would be replaced by this run's own files: choose another --out.")

    def make(self) -> None:
        """Make the folders. Raises `UserError` where that or writing into them is impossible, before any work is done."""
        for folder in (self.path, self.model_path.parent):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                tempfile.TemporaryFile(dir=folder).close()
            except OSError as error:
                raise UserError(f"cannot write into {str(folder)!r}: {error.strerror}. Choose another --out.") from error

    def clear(self) -> None:
        """Remove an earlier run's files, and nothing else."""
        for old in (*self.files, self.path / MODEL_PATH):
            old.unlink(missing_ok=True)
        remove_unnamed(self.path, ())

    def remove_leftovers(self) -> None:
        """Remove what killed processes left half-written."""
        for path in self.files:
            remove_leftovers(path)

    def write_metrics(self, rows: Iterable[Row]) -> None:
        """Write all rows, whole or not at all: state and metrics never disagree about what happened."""
        write_bytes(self.metrics, spelled(rows))

    def mark(self, launch: str) -> None:
        """Write down which launch of several processes the run is of; "" for a single process, of which nothing is written."""
        if launch:
            write_bytes(self.launch, launch.encode())

    def is_of(self, launch: str) -> bool:
        """Whether a run was saved here by this launch, and so may go on."""
        try:
            return bool(launch) and self.has_state and self.launch.read_bytes() == launch.encode()
        except OSError:
            return False

    def looked_at(self) -> "RunDirectory":
        """The same, for a process that writes nothing, as another one does."""
        return _LookedAt(self.path, self.model_path)

    def append_metrics(self, rows: Iterable[Row]) -> None:
        """Add rows, for who looks on; they are not synced, and the next `write_metrics` has them, too. May raise `OSError`."""
        with self.metrics.open("ab") as file:
            file.write(spelled(rows))


class _LookedAt(RunDirectory):
    """Whatever is asked of this directory is another process's affair."""

    @contextmanager
    def locked(self) -> Generator[None]:
        yield

    def refuse_if_used(self) -> None:
        pass

    def make(self) -> None:
        pass

    def clear(self) -> None:
        pass

    def remove_leftovers(self) -> None:
        pass

    def mark(self, launch: str) -> None:
        pass


def run_directory(config: Config, out: str | None, model_path: str | None) -> RunDirectory:
    """Where this run's files go: `--out`, else beside `--model_path`, else out/TEXT-PRESET."""
    for flag, name in (("--out", out), ("--model_path", model_path)):
        if name == "":
            raise UserError(f"{flag} is empty: name something, or leave it out.")
    if model_path:
        model = check_extension(model_path)
        return RunDirectory(Path(out) if out else model.with_suffix(""), model)
    path = Path(out) if out else Path("out") / f"{_text_name(config)}-{config.preset}"
    return RunDirectory(path, path / "model.safetensors")


def _text_name(config: Config) -> str:
    if not config.data.input_file:
        return config.data.dataset or "python-docs"
    name = Path(config.data.input_file[0]).name.split(".")[0]
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name).strip("-") or "text"
