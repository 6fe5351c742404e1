"""Space: what a sweep tries, read from a TOML file; and a configuration written as one.

sweep.toml ──read_space──▶ Space(trials, fixed knobs, knobs that vary) ──one trial's values──▶ best.toml
"""

import json
import tomllib
from dataclasses import dataclass, fields, replace
from typing import Any

from letterwise.config import DataConfig
from letterwise.config.experiment import from_toml
from letterwise.config.presets import knob_values, resolve
from letterwise.errors import UserError, did_you_mean, quoted, sentence
from letterwise.text_encoding import read_text_file

OBJECTIVES = ("best_val_nats_per_char", "val_nats_per_char")  # keys of `train --json`
KEYS = ("trials", "seed", "objective", "fixed", "vary")
RANGE = ("from", "to", "step", "log")
NOT_COMPARABLE = (*(f.name for f in fields(DataConfig)), "eval_chars", "init_from", "teacher", "tracker")
MAX_TRIALS = 10**6

Value = str | int | float | bool


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, in steps where there is one, evenly or on a logarithmic scale."""

    low: int | float
    high: int | float
    step: int | float | None
    log: bool

    @property
    def ends(self) -> tuple[Value, ...]:
        """What the widest trials take."""
        return self.low, self.high


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[Value, ...]

    @property
    def ends(self) -> tuple[Value, ...]:
        """What trials take."""
        return self.values


@dataclass(frozen=True)
class Space:
    """`vary` says what is tried, `fixed` what all trials have in common: knobs, `preset` and `size`."""

    trials: int
    seed: int
    objective: str
    fixed: dict[str, Any]
    vary: dict[str, Range | Choice]

    @property
    def identity(self) -> str:
        """Equal for spaces whose trials belong into one study: however many there are to be."""
        vary = {name: repr(varied) for name, varied in self.vary.items()}
        return json.dumps([self.seed, self.objective, self.fixed, vary], sort_keys=True)


def read_space(path: str) -> Space:
    """The space that a file describes. Raises `UserError` where it is no such file, or describes what cannot be tried."""
    try:
        found = tomllib.loads(read_text_file(path, "--space"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"--space {path!r} is not TOML: {sentence(error)}") from error
    try:
        return _space(found)
    except UserError as error:
        raise UserError(f"--space {path!r}: {error}") from error


def _space(found: dict[str, Any]) -> Space:
    """A space from TOML's tables. Raises `UserError`."""
    for key in found:
        if key not in KEYS:
            raise UserError(f"{key!r} is no key of a sweep: {did_you_mean(key, KEYS)}")
    trials, seed, objective = found.get("trials", 20), found.get("seed", 0), found.get("objective", OBJECTIVES[0])
    for key, value, least, most in (("trials", trials, 1, MAX_TRIALS), ("seed", seed, 0, 2**31)):
        if type(value) is not int or not least <= value <= most:
            raise UserError(f"{key} = {quoted(value)} is no whole number from {least} to {most:,}.")
    if objective not in OBJECTIVES:
        raise UserError(f"objective = {quoted(objective)} is not known: {did_you_mean(str(objective), OBJECTIVES)}")
    fixed, vary = found.get("fixed", {}), found.get("vary", {})
    for key, table in (("fixed", fixed), ("vary", vary)):
        if not isinstance(table, dict):
            raise UserError(f"{key} is {quoted(table)}, and should be a table of flags, [{key}].")
    for name in {"members", "distill"} & {*fixed, *vary}:
        raise UserError(f"a sweep compares single models: leave out {name}, and train the best settings as an ensemble.")
    if not vary:
        raise UserError("nothing varies: name a flag in [vary], like learning_rate = { from = 1e-3, to = 3e-2, log = true }.")
    fixed = {name: from_toml(name, value) for name, value in fixed.items()}
    if resolve(fixed).data.read_once:
        raise UserError(
            "a sweep reads the text once for each trial, and stdin or a pipe can be read only once: save it to a file first."
        )
    return Space(trials, seed, objective, fixed, {name: _varied(name, value, fixed) for name, value in vary.items()})


def _varied(name: str, value: Any, fixed: dict[str, Any]) -> Range | Choice:
    """What a knob may be. Raises `UserError` for what it cannot."""
    if name in fixed:
        raise UserError(f"{name} is in [fixed] and in [vary]: keep it in one of them.")
    if name in NOT_COMPARABLE:
        raise UserError(f"{name} cannot vary, as its trials could not be compared: put it into [fixed].")
    varied = Choice(tuple(value)) if isinstance(value, list) else _range(name, value)
    if isinstance(varied, Choice) and not (varied.values and all(isinstance(v, Value) for v in varied.values)):
        raise UserError(f"{name} = {quoted(value)} offers no texts or numbers to choose from.")
    try:
        ends = [knob_values(resolve({**fixed, name: end})).get(name) for end in varied.ends]
    except UserError as error:
        raise UserError(f"{name} in [vary]: {error}") from error
    if isinstance(varied, Range) and isinstance(ends[0], float):
        low, high, step = (None if number is None else float(number) for number in (varied.low, varied.high, varied.step))
        varied = replace(varied, low=low, high=high, step=step)
    return varied


def _range(name: str, value: Any) -> Range:
    """A range from {from, to, step, log}. Raises `UserError`."""
    example = f"write {name} = {{ from = 1, to = 8 }}, with step = 2 or log = true if you like, or a list to choose from"
    if not isinstance(value, dict) or set(value) - set(RANGE) or not {"from", "to"} <= set(value):
        raise UserError(f"{name} = {quoted(value)} is no range: {example}.")
    low, high, step, log = value["from"], value["to"], value.get("step"), value.get("log", False)
    numbers = [low, high] if step is None else [low, high, step]
    if any(type(number) not in (int, float) for number in numbers) or type(log) is not bool:
        raise UserError(f"{name} = {quoted(value)} is no range of numbers: {example}.")
    if not -1e300 < low < high < 1e300 or (step is not None and not 0 < step <= high - low):
        raise UserError(f"{name} = {quoted(value)} holds no numbers: {example}.")
    if log and (low <= 0 or step is not None):
        raise UserError(f"{name} = {quoted(value)} is on a logarithmic scale: begin above 0, and leave out step.")
    return Range(low, high, step, log)


def as_toml(values: dict[str, Any], comment: str) -> str:
    """Knobs as a TOML file that `train --config` takes, below a comment."""
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    return "\n".join([*lines, *(f"{name} = {_spelled(value)}" for name, value in values.items()), ""])


def _spelled(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_spelled, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else repr(value)


def words(values: dict[str, Any]) -> str:
    """Knobs for a person: `learning_rate=0.0031 n_layer=4`."""
    return " ".join(f"{name}={f'{v:.4g}' if isinstance(v, float) else v}" for name, v in values.items())
