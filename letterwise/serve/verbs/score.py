"""/api/score: what each character of a text costs. `LanguageModel.score_characters`, over the wire."""

from typing import Any, Literal

import numpy as np
from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from letterwise.api import LanguageModel
from letterwise.serve.library import LibraryOf
from letterwise.serve.verbs.answers import Answer, Guess, answered
from letterwise.serve.verbs.reading import TextRequest, limited

MAX_ALTERNATIVES = 5
router = APIRouter(tags=["letterwise"])


class ScoreRequest(TextRequest):
    """A text to be scored."""

    protocol: Literal["blocks", "eighth", "sliding"] = Field(
        "eighth", description="how much context each character has: windows side by side, or overlapping by an eighth or a half"
    )
    alternatives: int = Field(
        MAX_ALTERNATIVES, ge=0, le=MAX_ALTERNATIVES, description="tell so many of the likeliest characters at each place"
    )


class ScoredLine(Answer):
    """A line of the text, its end included. Its mean is over the characters that were predicted."""

    number: int
    start: int
    chars: int
    bits: float
    bits_per_char: float


class ScoreAnswer(Answer):
    """What a text costs. Lists have a place for each character; null where nothing was predicted, as for the first."""

    model: str
    chars: int = Field(description="characters that were predicted")
    total_bits: float = Field(description="what they cost together")
    bits_per_char: float
    counting_bits_per_char: float | None = Field(description="by the model's n-gram counts alone; null where it has none")
    unknown: int = Field(description="characters that the model never saw; each costs 33.4 bits")
    lines: list[ScoredLine]
    bits: list[float | None]
    ranks: list[int | None] = Field(description="1: the likeliest of all; one more than there are for one never seen")
    probabilities: list[float | None]
    alternatives: list[list[Guess] | None] = Field(description="the likeliest there, with their probabilities")


@router.post("/api/score", response_model=ScoreAnswer)
async def score(asked: ScoreRequest, library: LibraryOf) -> Response:
    """How surprising each character of a text is, and each line."""
    limited(asked.text, library)
    async with library.model(asked.model) as served:
        return await answered(served, lambda: scored(served.model, asked))


def scored(model: LanguageModel, asked: ScoreRequest) -> dict[str, Any]:
    """The answer."""
    found = model.score_characters(asked.text, protocol=asked.protocol)
    predicted, known = found.predicted, ~np.isnan(found.bits)
    bits, chances = found.bits.round(4).tolist(), (2.0**-found.bits).tolist()
    counting = found.counting_bits
    return {
        "chars": predicted,
        "total_bits": found.total_bits,
        "bits_per_char": found.total_bits / max(1, predicted),
        "counting_bits_per_char": None if counting is None else counting / max(1, predicted),
        "unknown": found.unknown,
        "lines": [
            {
                "number": line.number, "start": line.start, "chars": line.chars, "bits": line.bits,
                "bits_per_char": line.bits / max(1, line.predicted),
            }
            for line in found.lines
        ],
        "bits": [value if there else None for value, there in zip(bits, known, strict=True)],
        "ranks": [rank or None for rank in found.ranks.tolist()],
        "probabilities": [value if there else None for value, there in zip(chances, known, strict=True)],
        "alternatives": [
            [(character, round(p, 6)) for character, p in some[: asked.alternatives]] or None for some in found.alternatives
        ],
    }  # fmt: skip
