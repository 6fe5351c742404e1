"""Reading: requests about a text, and the end of it that a model has in view.

text ──ids, places──▶ the last that fit the context: what is looked at inside        start: where they begin in the text
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from letterwise.api import LanguageModel
from letterwise.data.offsets import places
from letterwise.errors import UserError
from letterwise.serve.library import Library
from letterwise.serve.openai.requests import Strict

MOST_SHOWN = 256  # characters: of more, nobody could see anything in a square


class TextRequest(Strict):
    """A text, and who is to read it."""

    model: str | None = Field(None, description="one of /v1/models (without: the first)", max_length=1000)
    text: str = Field(description="the text; offsets in the answer count its Unicode characters")


class ViewRequest(TextRequest):
    """A text, of which the end is looked at: as many characters as fit the context, and at most 256."""

    unknown: Literal["error", "skip"] = Field("skip", description="what to do with characters the model never saw")


def limited(text: str, library: Library) -> str:
    """The text. Raises `UserError` when it is longer than this server reads."""
    if len(text) > (most := library.config.limits.max_prompt):
        raise UserError(f"a text of {len(text):,} characters is too long: this server reads {most:,} at most.")
    return text


@dataclass(frozen=True)
class View:
    """The end of a text: ids, and where the first of them stands."""

    ids: np.ndarray
    start: int
    characters: list[str]


def view(model: LanguageModel, asked: ViewRequest) -> View:
    """What is in view of a text; for a model of lines, its last line and the line break before it.

    Raises `UserError` when nothing is, or for unknown characters, unless they are to be skipped.
    """
    vocabulary = model.vocabulary
    ids = vocabulary.encode(asked.text, "error" if asked.unknown == "error" else "score").astype(np.int64)
    where, known = places(asked.text, vocabulary, plain_ends=False), ids < len(vocabulary)
    ids, where = ids[known], where[known]
    if not len(ids):
        raise UserError("text: there is no character in it that this model knows: give it one or more.")
    first = max(0, len(ids) - min(MOST_SHOWN, model.config.model.block_size))
    line_breaks = np.flatnonzero(ids[:-1] == model.file.line_break) if model.file.line_break is not None else []
    if len(line_breaks):
        first = max(first, int(line_breaks[-1]))
    while 0 < first < len(ids) - 1 and where[first] == where[first - 1]:  # in the middle of a character's bytes
        first += 1
    return View(ids[first:], int(where[first]), [vocabulary.decode([id]) for id in ids[first:].tolist()])
