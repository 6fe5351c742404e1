"""Run directory: the files of one run, and the one place that knows their names.

out/NAME/                  model.safetensors (or where --model_path says) · metrics.jsonl · report.html · state.pth
"""

import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from letterwise.atomic import write_bytes
from letterwise.checkpoint.model_file import check_extension
from letterwise.config import Config
from letterwise.errors import UserError


@dataclass(frozen=True)
class RunDirectory:
    """Where a run keeps its files."""

    path: Path
    model_path: Path

    @property
    def state(self) -> Path:
        """The resumable training state."""
        return self.path / "state.pth"

    @property
    def metrics(self) -> Path:
        """One JSON object per validation."""
        return self.path / "metrics.jsonl"

    @property
    def report(self) -> Path:
        """The page about the finished run."""
        return self.path / "report.html"

    @property
    def relative_model_path(self) -> str:
        """The model file as seen from the directory, so that both can be moved together."""
        return os.path.relpath(self.model_path, self.path)

    def with_model(self, relative: str) -> "RunDirectory":
        """The inverse of `relative_model_path`."""
        return RunDirectory(self.path, Path(os.path.normpath(self.path / relative)))

    def refuse_if_used(self) -> None:
        """Raises `UserError` when a run or a model is here already."""
        for taken in (self.state, self.metrics, self.model_path):
            if taken.exists():
                raise UserError(
                    f"{str(taken)!r} is there from an earlier run: --resume continues it, --overwrite replaces it, "
                    "--out DIR puts this one elsewhere."
                )

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
        for old in (self.state, self.metrics, self.report, self.model_path):
            old.unlink(missing_ok=True)

    def write_metrics(self, rows: Iterable[dict[str, Any]]) -> None:
        """Write all rows, whole or not at all: state and metrics never disagree about what happened."""
        write_bytes(self.metrics, "".join(json.dumps(row) + "\n" for row in rows).encode())


def run_directory(config: Config, out: str | None, model_path: str | None) -> RunDirectory:
    """Where this run's files go: `--out`, else beside `--model_path`, else out/TEXT-PRESET."""
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
