"""Model file: all of a trained model in one file.

    weights + counts + configuration + vocabulary + data record + history ──▶ model.safetensors | model.pth ──▶ the same, back
    an ensemble: weights and architecture of each member, and all the rest once

It is data: loading it runs no code. docs/formats.md describes both forms on one page. Saving the same model twice under
one name gives the same bytes.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from letterwise.atomic import write_bytes
from letterwise.checkpoint.container import CHECKSUM, EXTENSIONS, pack, read_header, unpack
from letterwise.config import Config, ModelConfig, config_from_json
from letterwise.config.accounting import parameters, weight_shapes
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError, sentence
from letterwise.ngrams import Counts
from letterwise.ngrams.storage import from_arrays, to_arrays
from letterwise.text_encoding import canonical_encoding

FORMAT, VERSION = "letterwise-model", 4  # 2: counts; 3: a checksum; 4: members
CHECKSUM_SINCE, MEMBERS_SINCE = 3, 4  # a model without members is still written as 3
COUNTS, MEMBER = "counts.", "member."  # names of the arrays that hold counts, or a member's weights, begin so
MAX_MEMBERS, MAX_SHARE = 64, 1e3  # of an ensemble; and what a member's logits are multiplied by, at most
# Figures of a row of the history, by their kinds. Formats 1 and 2 had no `val_chars` and no interval.
FIGURES: dict[str, tuple[type, ...]] = {
    "step": (int,),
    "chars": (int,),
    "seconds": (int, float),
    "learning_rate": (int, float),
    "train_nats_per_char": (float, type(None)),
    "val_nats_per_char": (float, type(None)),
    "val_chars": (int,),
    "val_nats_low": (float, type(None)),
    "val_nats_high": (float, type(None)),
    "chars_per_second": (int, float),
    "best": (bool,),
    "sample": (str,),
}
UNKNOWN_TEXT: dict[str, Any] = {"fingerprint": "0" * 64, "sources": [], "bounds": [0, 0, 0]}  # record of an imported model
LONGEST_PROGRAM = 40  # characters of its name
REQUIRED_FIGURES = FIGURES.keys() - {"val_chars", "val_nats_low", "val_nats_high"}


@dataclass(frozen=True)
class Member:
    """One network of an ensemble: its architecture, the `weight` of its logits in their sum, and its trained numbers."""

    model: ModelConfig
    weight: float
    weights: dict[str, np.ndarray]


@dataclass(frozen=True)
class ModelFile:
    """Everything a model file holds.

    `data` records the text it learned: fingerprint, sources, bounds, baselines; and the `lineage` of one that was fine-tuned.
    Of a model that was `imported` the text is not known: `UNKNOWN_TEXT`.
    `history` has a row per validation. `counts` is there when the model learned beside them (`counts_order`).
    An ensemble has `members` and no `weights` of its own; its `config` is that of the first with counts, or of the first.
    """

    config: Config
    vocabulary: Vocabulary
    weights: dict[str, np.ndarray]
    data: dict[str, Any]
    history: list[dict[str, Any]]
    counts: Counts | None = None
    members: tuple[Member, ...] = ()

    @property
    def networks(self) -> tuple[Member, ...]:
        """The members of an ensemble; an ordinary model alone."""
        return self.members or (Member(self.config.model, 1.0, self.weights),)

    @property
    def params(self) -> int:
        """How many numbers were trained."""
        return sum(parameters(network.model, len(self.vocabulary)).total for network in self.networks)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All weights by their names in the file."""
        named = enumerate(self.members)
        return self.weights | {f"{MEMBER}{n}.{name}": array for n, each in named for name, array in each.weights.items()}

    @property
    def line_break(self) -> int | None:
        """The id that each example begins after, for a model of lines; None for others."""
        return self.vocabulary.line_break if self.config.data.lines else None

    @property
    def imported(self) -> str | None:
        """The program whose model it was, `nanoGPT`, `Llama`; None for one that was trained here."""
        return self.data.get("imported", {}).get("from")

    @property
    def lineage(self) -> list[dict[str, Any]]:
        """The models it was fine-tuned from, the first one first: `model` (sha256 of its file), and its text's `fingerprint`,
        `sources` and `vocabulary`. Empty for a model that began from nothing.
        """
        return self.data.get("lineage", [])

    @property
    def best_validation(self) -> dict[str, Any] | None:
        """The row of the validation whose weights these are, the last that was the best; None where nothing was measured."""
        return next((row for row in reversed(self.history) if row["best"] and row["val_nats_per_char"] is not None), None)

    def header(self) -> dict[str, Any]:
        """All but weights and counts, in plain containers."""
        knobs = [replace(self.config, model=member.model).to_json()["model"] for member in self.members]
        members = [{"model": model, "weight": member.weight} for model, member in zip(knobs, self.members, strict=True)]
        return {
            "format": FORMAT,
            "version": MEMBERS_SINCE if members else MEMBERS_SINCE - 1,
            "config": self.config.to_json(),
            "vocabulary": self.vocabulary.to_json(),
            "data": self.data,
            "history": self.history,
            **({"members": members} if members else {}),
        }


def check_extension(path: str | Path, flag: str = "--model_path") -> Path:
    """The path that a flag gave, if its extension names a form that can be written. Raises `UserError` otherwise."""
    path = Path(path)
    if path.suffix not in EXTENSIONS:
        raise UserError(f"{flag} {str(path)!r} must end in {' or '.join(EXTENSIONS)}.")
    return path


def save_model(path: str | Path, file: ModelFile) -> None:
    """Write `file`, whole or not at all, in the form that the extension names."""
    path = check_extension(path)
    counts = {COUNTS + name: array for name, array in to_arrays(file.counts).items()} if file.counts else {}
    write_bytes(path, pack(file.header(), {**file.arrays, **counts}, path.suffix))


def load_model(path: str | Path) -> ModelFile:
    """Read a model file of either form.

    Raises `UserError` when it is missing, is no model, is damaged, is from a newer format, or carries code.
    """
    path = Path(path)
    try:
        there = path.exists()
    except OSError as error:  # a folder that may not be searched, or a name that is too long
        raise UserError(f"cannot read {str(path)!r}: {error.strerror}. Check the name and its permissions.") from error
    if not there:
        train_it = f"letterwise train --model_path {shlex.quote(str(path))}"
        raise UserError(f"there is no model file {str(path)!r}: train one with `{train_it}`.")
    if path.is_dir():
        raise UserError(
            f"{str(path)!r} is a folder, not a model file: name the file inside it, like {path / 'model.safetensors'}."
        )
    return _from_parts(path, *unpack(path, newest=VERSION))


def describe_model(path: Path) -> ModelFile:
    """All but weights and counts: of a .safetensors, only the beginning is read. Raises `UserError` as `load_model` does."""
    return _from_parts(path, read_header(path)[0]) if path.suffix == ".safetensors" else load_model(path)


def _from_parts(path: Path, header: Any, held: dict[str, np.ndarray] | None = None) -> ModelFile:
    """What a file holds: its header, and its arrays if they were read."""
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise UserError(f"{str(path)!r} is not a Letterwise model: `letterwise train` writes one.")
    version = header.get("version")
    if version not in range(1, VERSION + 1):
        raise UserError(
            f"{str(path)!r} has model format {str(version)[:20]}, and this Letterwise reads 1 to {VERSION}: upgrade Letterwise."
        )
    try:
        if version >= CHECKSUM_SINCE and CHECKSUM not in header:
            raise UserError("it has no checksum")
        if version == 1:
            header["config"]["model"]["counts_order"] = 0
        config = stored_config(header["config"])
        vocabulary = Vocabulary.from_json(header["vocabulary"])
        if config.data.lines and vocabulary.line_break is None:
            raise UserError("it is a model of lines, and its vocabulary has no line break")
        arrays, names = held or {}, [name for name in held or {} if not name.startswith(COUNTS)]
        counted = {name.removeprefix(COUNTS): array for name, array in arrays.items() if name.startswith(COUNTS)}
        counts = from_arrays(counted, len(vocabulary)) if held is not None and config.model.counts_order else None
        if counts and counts.order != config.model.counts_order:
            raise UserError(f"counts are of order {counts.order}, not counts_order={config.model.counts_order}")
        if counts and bool(counts.contexts) != config.model.has_contexts(len(vocabulary)):
            raise UserError(f"its counts are not those of counts_contexts={config.model.counts_contexts}")
        weights = {name: arrays[name] for name in names}
        members = stored_members(header["members"], config, weights) if version >= MEMBERS_SINCE else ()
        own = {} if members else weights
        file = ModelFile(config, vocabulary, own, header["data"], header["history"], counts, members)
        check_record(file.data)
        check_rows(file.history)
        if held is not None:
            if missing := file.arrays.keys() ^ weights.keys():
                raise UserError(f"weights {sorted(missing)[:3]} belong to no member")
            for network in file.networks:
                check_weights(network.weights, network.model, len(vocabulary))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, UserError) as error:
        why = sentence(f"it lacks {error}" if isinstance(error, KeyError) else error)
        raise UserError(f"the model file {str(path)!r} is damaged: {why} Restore it from a copy, or train again.") from error
    return file


def stored_config(stored: Any) -> Config:
    """The configuration that a file names. Raises `UserError` when it is none, or names an encoding that spells no text."""
    config = config_from_json(stored)
    if config.data.encoding is not None:
        canonical_encoding(config.data.encoding)
    return config


def stored_members(stored: Any, config: Config, arrays: Mapping[str, np.ndarray]) -> tuple[Member, ...]:
    """The members that a header names, each with those of the `arrays` that are its own. Raises `UserError`."""
    if not isinstance(stored, list) or not 0 < len(stored) <= MAX_MEMBERS:
        raise UserError(f"it names no members, or more than {MAX_MEMBERS}")
    members = []
    for n, entry in enumerate(stored):
        if not isinstance(entry, dict) or entry.keys() != {"model", "weight"} or not is_figure(entry["weight"], (int, float)):
            raise UserError(f"member {n} is not an architecture and a weight")
        model = config_from_json({**config.to_json(), "model": entry["model"]}).model
        own = f"{MEMBER}{n}."
        weights = {name.removeprefix(own): array for name, array in arrays.items() if name.startswith(own)}
        members.append(Member(model, float(entry["weight"]), weights))
    check_members(members)
    if lead(members).model != config.model:
        raise UserError("its configuration is not that of its first member")
    return tuple(members)


def lead(members: Sequence[Member]) -> Member:
    """The member whose configuration is the ensemble's: the first with counts, or the first."""
    return next((member for member in members if member.model.counts_order), members[0])


def check_members(members: Sequence[Member]) -> None:
    """They read the same context beside the same counts, and their logits can be summed. Raises `UserError`."""
    first = lead(members).model
    for n, (model, weight) in enumerate((member.model, member.weight) for member in members):
        if not abs(weight) <= MAX_SHARE:
            raise UserError(f"member {n} has the weight {weight:g}, which is not from {-MAX_SHARE:g} to {MAX_SHARE:g}")
        if model.block_size != first.block_size:
            raise UserError(f"member {n} has block_size={model.block_size}, and another {first.block_size}")
        if model.counts_order not in (0, first.counts_order):
            raise UserError(f"member {n} has counts_order={model.counts_order}, and another {first.counts_order}")
        if model.counts_order and model.counts_contexts != first.counts_contexts:
            raise UserError(f"member {n} has counts_contexts={model.counts_contexts}, and another the opposite")


def check_weights(weights: Mapping[str, np.ndarray], model: ModelConfig, vocab_size: int) -> None:
    """Names, shapes and kinds against the architecture, and every number finite. Raises `UserError`."""
    expected_size, size = parameters(model, vocab_size).total, sum(weight.size for weight in weights.values())
    if size != expected_size:  # raised before anything of that size is built
        raise UserError(f"it has {size:,} weights, and its configuration {expected_size:,}")
    expected = weight_shapes(model, vocab_size)
    if missing := expected.keys() ^ weights.keys():
        raise UserError(f"weights {sorted(missing)[:3]} are missing or unexpected")
    for name, weight in weights.items():
        if weight.shape != expected[name]:
            raise UserError(f"weight {name!r} has shape {weight.shape}, not {expected[name]}")
        if weight.dtype != np.float32 or not np.isfinite(weight).all():
            raise UserError(f"weight {name!r} is not float32, or has NaN or infinite values")


def check_record(data: Any) -> None:
    """The record of the text has the types that `ModelFile` promises. Raises `UserError`."""
    baselines = data.get("baselines", {})
    sound = (
        isinstance(data["fingerprint"], str)
        and re.fullmatch("[0-9a-f]{64}", data["fingerprint"])
        and isinstance(data["sources"], list)
        and all(isinstance(name, str) for name in data["sources"])
        and isinstance(data["bounds"], list)
        and len(data["bounds"]) == 3
        and all(type(bound) is int for bound in data["bounds"])
        and isinstance(baselines, dict)
        and all(isinstance(value, float) for value in baselines.values())
    )
    if not sound:
        raise UserError("its record of the training text is not complete")
    lineage, teacher = data.get("lineage", []), data.get("teacher")
    if not isinstance(lineage, list) or not all(_is_ancestor(entry) for entry in [*lineage, *([teacher] if teacher else [])]):
        raise UserError("its record of the models it was made from is not complete")
    if "imported" in data and not _is_origin(data["imported"]):
        raise UserError("its record of where it was imported from is not complete")


def _is_origin(entry: Any) -> bool:
    if not isinstance(entry, dict) or entry.keys() != {"from", "sha256"} or not all(isinstance(v, str) for v in entry.values()):
        return False
    return 0 < len(entry["from"]) <= LONGEST_PROGRAM and bool(re.fullmatch("[0-9a-f]{64}", entry["sha256"]))


def _is_ancestor(entry: Any) -> bool:
    if not isinstance(entry, dict) or entry.keys() != {"model", "fingerprint", "sources", "vocabulary"}:
        return False
    hashes = (entry["model"], entry["fingerprint"])
    named = isinstance(entry["sources"], list) and all(isinstance(name, str) for name in entry["sources"])
    Vocabulary.from_json(entry["vocabulary"])  # raises where it is none
    return named and all(isinstance(digest, str) and re.fullmatch("[0-9a-f]{64}", digest) for digest in hashes)


def check_rows(rows: Any) -> None:
    """Rows are those of metrics.jsonl, with figures that can be drawn and compared. Raises `UserError`."""
    if not isinstance(rows, list) or any(not isinstance(row, dict) for row in rows):
        raise UserError("its history is not a list of rows")
    for row in rows:
        if missing := sorted(REQUIRED_FIGURES - row.keys()):
            raise UserError(f"its history has a row without {missing[0]}")
        for name, value in row.items():
            if isinstance(value, list | dict):
                raise UserError("its history has a row with a list or dict in it")
            if name in FIGURES and not is_figure(value, FIGURES[name]):
                raise UserError(f"its history has {name} = {str(value)[:40]!r}")
    if len({row["val_nats_per_char"] is None for row in rows}) > 1:
        raise UserError("its history has validations with and without a figure")


def is_figure(value: Any, kinds: tuple[type, ...]) -> bool:
    """Of one of these kinds (true is no number) and, if it is a number, finite and with room in 64 bits."""
    return type(value) in kinds and (type(value) not in (int, float) or abs(value) < 2**63)
