"""Texts: the one that a model was trained on, found again; and others, read in the same way.

ModelFile ──its record: fingerprint, sources, bounds──▶ cache, or the files themselves ──▶ a part of its own text
          ──vocabulary, configuration────────────────▶ files that are named           ──▶ ids of another text
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from letterwise.checkpoint.model_file import ModelFile
from letterwise.data.vocabulary import Tally, Unknown, Vocabulary
from letterwise.errors import UserError
from letterwise.progress import Note

if TYPE_CHECKING:
    from letterwise.data.token_stream import TokenStream


@dataclass(frozen=True)
class Reading:
    """How a text is read: what becomes of characters outside the vocabulary, how bytes spell characters, who is told of it."""

    unknown: Unknown
    encoding: str | None
    note: Note


def own_text(file: ModelFile, note: Note, *, missing: str = "name a text with --input_file.") -> "TokenStream":
    """The text of training: as the cache kept it, or read anew and compared.

    Raises `UserError` that ends in `missing` when it is not there.
    """
    from letterwise.data.prepare import TextGone, training_text

    if file.imported:
        raise UserError(f"this model was imported ({file.imported}), and what text it learned is not known here: {missing}")
    record = file.data
    before = file.lineage[-1] if file.lineage else record.get("teacher")  # whose characters the vocabulary holds, too
    try:
        return training_text(
            file.config.data,
            record["fingerprint"],
            file.vocabulary,
            record["bounds"][2],
            note,
            base=Vocabulary.from_json(before["vocabulary"]) if before else None,
        )
    except TextGone as error:
        raise UserError(f"{error}: {missing}") from error


def validation_text(file: ModelFile, note: Note) -> str:
    """The validation part of the text of training; "" when that is gone, which is noted."""
    try:
        return file.vocabulary.decode(own_text(file, note).part("val"))
    except UserError as error:
        note(str(error))
        return ""


def named_text(file: ModelFile, names: Sequence[str], how: Reading, *, in_order: bool) -> "TokenStream":
    """Another text, read and cut as the text of training was; `in_order`, its lines stay where they are."""
    from letterwise.data.prepare import encode_corpus

    config = replace(file.config.data, input_file=tuple(names), dataset=None, val_file=(), encoding=how.encoding)
    return encode_corpus(config, file.vocabulary, unknown=how.unknown, in_order=in_order, note=how.note)


def whole_ids(file: ModelFile, names: Sequence[str] | None, how: Reading) -> tuple[np.ndarray, Tally]:
    """The ids of a text that is named, and what became of its characters; no line break is put before.

    Of None, those of the validation part of the text of training.
    """
    if names is None:
        ids = own_text(file, how.note).part("val")[int(file.line_break is not None) :]
        return ids, Tally(len(ids))
    text = named_text(file, names, how, in_order=True)
    return text.part("all"), text.tally


def part_ids(file: ModelFile, names: Sequence[str] | None, split: str | None, how: Reading) -> tuple[np.ndarray, str, Tally]:
    """The ids of a part of a text, which part, and what became of all the text's characters.

    By default, all of a text that is named, and validation of one's own. For a model of lines, they begin with a line break.

    Raises `UserError` when there is nothing to predict in them.
    """
    split = split or ("val" if names is None else "all")
    in_order = names is not None and split == "all"
    text = own_text(file, how.note) if names is None else named_text(file, names, how, in_order=in_order)
    ids = text.part(split)
    if in_order and file.line_break is not None:
        ids = np.concatenate((np.array([file.line_break], ids.dtype), ids))
    if len(ids) < 2:
        hint = " Train with --test_fraction to keep one." if split == "test" and not file.config.data.test_fraction else ""
        raise UserError(f"the {split} part of this text has {len(ids)} characters: there is nothing to predict.{hint}")
    return ids, split, text.tally
