"""Runs: what run directories and model files hold, side by side.

names ──▶ model file (configuration, record of the text) + metrics.jsonl ──▶ Comparison

Figures only stand side by side where they come from the same characters: `Comparison.same_characters` says whether they do.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from letterwise.checkpoint.container import EXTENSIONS
from letterwise.checkpoint.model_file import check_rows, load_model
from letterwise.config import Config
from letterwise.config.presets import knob_values
from letterwise.errors import UserError
from letterwise.training.metrics.rows import Row, of_kind, parsed
from letterwise.units import bits

PROTOCOL = "blocks"  # how training validates


@dataclass(frozen=True)
class ComparedRun:
    """One run. `params`: how many weights its model has.

    `metrics` are the rows of metrics.jsonl; where only the model file is left, its validations up to the best.
    """

    name: str
    model_path: Path
    config: Config
    vocab_size: int
    params: int
    record: dict[str, Any]
    metrics: list[Row]
    best: Row

    @property
    def rows(self) -> list[Row]:
        """Its validations."""
        return of_kind(self.metrics, None)

    @property
    def nats(self) -> float | None:
        """The best validation, in nats per character; None without a validation part."""
        return number(self.best, "val_nats_per_char")

    @property
    def every(self) -> int:
        """Every n-th window was validated on: n."""
        every = self.record.get("every")
        return every if isinstance(every, int) and every > 0 else 1

    @property
    def characters(self) -> tuple[Any, ...]:
        """What was validated on. The length of windows matters where some of them are left out."""
        window = self.config.model.block_size if self.every > 1 else 0
        return self.record["fingerprint"], self.every, window, number(self.best, "val_chars")

    def to_json(self) -> dict[str, Any]:
        """Plain containers."""
        interval, last = [in_bits(number(self.best, f"val_nats_{end}")) for end in ("low", "high")], self.rows[-1]
        return {
            "name": self.name,
            "model_path": str(self.model_path),
            "best_val_nats_per_char": self.nats,
            "best_val_bits_per_char": in_bits(self.nats),
            "best_val_bits_interval": interval if self.every > 1 and None not in interval else None,
            "val_chars_scored": number(self.best, "val_chars"),
            "protocol": PROTOCOL,
            "every": self.every,
            "fingerprint": self.record["fingerprint"],
            "params": self.params,
            "vocab_size": self.vocab_size,
            "iters": last["step"],
            "chars_seen": number(last, "chars"),
            "train_seconds": number(last, "seconds"),
        }


@dataclass(frozen=True)
class Comparison:
    """Runs, in the order in which they were named."""

    runs: list[ComparedRun]

    @cached_property
    def groups(self) -> list[int]:
        """For each run, a number that it shares with those whose figures come from the same characters."""
        distinct = list(dict.fromkeys(run.characters for run in self.runs))
        return [distinct.index(run.characters) for run in self.runs]

    @property
    def same_characters(self) -> bool:
        """Whether all figures come from the same characters."""
        return max(self.groups) == 0

    @cached_property
    def differences(self) -> dict[str, list[Any]]:
        """The knobs that differ, with the value of each run."""
        knobs = [{"preset": run.config.preset, "size": run.config.size, **knob_values(run.config)} for run in self.runs]
        values_of = {name: [plain(each[name]) for each in knobs] for name in knobs[0]}
        return {name: values for name, values in values_of.items() if any(value != values[0] for value in values)}

    @property
    def note(self) -> str:
        """Whether the figures can be compared, in a sentence or two."""
        if not self.same_characters:
            texts, windows = len({run.record["fingerprint"] for run in self.runs}) > 1, "another part of the same text"
            why = "another text, another split or another vocabulary" if texts else windows
            return (
                f"Do not compare these figures: they come from different characters ({why}). "
                "`letterwise evaluate --model_path MODEL --input_file TEXT` scores each model on the same text."
            )
        some = self.runs[0].every > 1
        return "All figures come from the same characters" + (
            ", a part of the validation text: they are estimates." if some else "."
        )

    def to_json(self) -> dict[str, Any]:
        """Plain containers."""
        return {
            "runs": [{**run.to_json(), "group": group} for run, group in zip(self.runs, self.groups, strict=True)],
            "differences": self.differences,
            "same_characters": self.same_characters,
            "note": self.note,
        }


def compare(names: list[str]) -> Comparison:
    """Read runs by the names of their directories or model files. Raises `UserError` for fewer than two, or what is no run."""
    if len(names) < 2:
        raise UserError(f"compare sets runs side by side, and {names[0]!r} is only one: name two or more.")
    return Comparison([read_run(name) for name in names])


def read_run(name: str) -> ComparedRun:
    """One run. Raises `UserError` when it is none, or nothing was measured in it yet."""
    path = find_model(name)
    file = load_model(path)
    if file.imported:
        raise UserError(
            f"{name!r} was imported ({file.imported}), and its text is not known here: fine-tune it with "
            f"`letterwise train --init_from`, or score it with `letterwise evaluate`."
        )
    if not file.history:
        raise UserError(f"{name!r} has no validation yet: let its training go on.")
    metrics = read_metrics(path, file.history)
    return ComparedRun(name, path, file.config, len(file.vocabulary), file.params, file.data, metrics, file.history[-1])


def find_model(name: str) -> Path:
    """The model file of a run directory, in it or beside it, or the file itself. Raises `UserError` where there is none."""
    if name == "":
        raise UserError("the name of a run is empty: name a run directory or a model file.")
    path = Path(name)
    if not path.is_dir():
        return path
    inside = [path / f"model{extension}" for extension in EXTENSIONS]
    beside = [path.with_name(path.name + extension) for extension in EXTENSIONS] if path.name else []
    for file in inside + beside:
        if file.is_file():
            return file
    seeds = sorted(path.glob("seed-*"))
    instead = (
        f"its runs are {str(path / 'seed-*')!r}" if seeds else "name a directory that `letterwise train` wrote, or a model file"
    )
    raise UserError(f"{name!r} holds no model: {instead}.")


def read_metrics(model: Path, history: list[Row]) -> list[Row]:
    """The rows of a metrics.jsonl beside the model that belongs to it; else the validations in the model file."""
    for path in (model.parent / "metrics.jsonl", model.with_suffix("") / "metrics.jsonl"):
        try:
            rows = parsed(path.read_bytes())
            validations = of_kind(rows, None)
            check_rows(validations)
        except (OSError, UserError):
            continue
        if validations[: len(history)] == history:
            return rows
    return history


def number(row: Row, name: str) -> Any:
    """A figure of a row; None where it has none that is finite."""
    value = row.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) else None


def in_bits(nats: float | None) -> float | None:
    """Nats as bits, where there are any."""
    return None if nats is None else bits(nats)


def plain(value: Any) -> Any:
    """A knob's value for JSON."""
    return list(value) if isinstance(value, tuple) else value
