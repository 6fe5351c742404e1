"""/api/novelty: what a text copies. `LanguageModel.novelty` and `.verbatim_runs`, over the wire."""

from typing import Any

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from letterwise.api import LanguageModel
from letterwise.errors import UserError
from letterwise.serve.library import LibraryOf
from letterwise.serve.verbs.answers import Answer, answered
from letterwise.serve.verbs.reading import TextRequest, limited

SHORTEST = 20  # characters of a run that is listed
router = APIRouter(tags=["letterwise"])


class Stretch(Answer):
    """A stretch of the text that stands in the training text, too."""

    start: int
    length: int


class Longest(Stretch):
    """The longest of all."""

    text: str


class NoveltyAnswer(Answer):
    """How much of a text is copied from the text that the model learned."""

    model: str
    shares: dict[str, float] = Field(description="of the text's characters, in runs of 20, 50 and 100 or more")
    longest: Longest | None
    runs: list[Stretch] = Field(description="all of 20 characters or more; they may overlap")


@router.post("/api/novelty", response_model=NoveltyAnswer)
async def novelty(asked: TextRequest, library: LibraryOf) -> Response:
    """Which parts of a text stand, character for character, in the text that the model learned."""
    limited(asked.text, library)
    async with library.model(asked.model) as served:
        return await answered(served, lambda: copied(served.model, asked.text))


def copied(model: LanguageModel, text: str) -> dict[str, Any]:
    """The answer. Raises `UserError` when the text is empty, or that of training is gone."""
    if not text:
        raise UserError("text is empty: there is nothing to compare with the training text.")
    found, runs = model.novelty(text, nearest=0), model.verbatim_runs(text, min_chars=1)
    start, end = max(runs, key=lambda run: run[1] - run[0], default=(0, 0))
    return {
        "shares": {str(length): share for length, share in found.shares.items()},
        "longest": {"start": start, "length": end - start, "text": text[start:end]} if runs else None,
        "runs": [{"start": start, "length": end - start} for start, end in runs if end - start >= SHORTEST],
    }
