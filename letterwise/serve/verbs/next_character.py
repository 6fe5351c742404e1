"""/api/next: what may follow a text. `LanguageModel.next_characters`, over the wire."""

from dataclasses import asdict
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from letterwise.api import LanguageModel
from letterwise.config.generation import SamplerConfig
from letterwise.config.knob import typed_fields
from letterwise.serve.library import LibraryOf
from letterwise.serve.openai.requests import characters_of, greedy_at_0, with_options
from letterwise.serve.verbs.answers import Answer, answered
from letterwise.serve.verbs.reading import TextRequest, limited

MOST = 1000  # characters in a list
router = APIRouter(tags=["letterwise"])


@with_options
class NextRequest(TextRequest):
    """A text, and how what follows it would be drawn.

    Fields are those of /v1/completions. What looks at the text that is written as a whole (stop, regex, grammar and their
    like) is taken, too, and changes nothing here.
    """

    shown: int = Field(10, ge=1, le=MOST, description="list so many of the likeliest characters")
    unknown: Literal["error", "skip"] = Field("error", description="what to do with characters the model never saw")
    temperature: float | None = Field(
        1.0, description="below 1 safer, above 1 wilder, 0 always the likeliest", json_schema_extra={"minimum": 0}
    )
    logit_bias: dict[str, float] | None = Field(None, description="nats to add to the logits of ids: {'42': -100}")
    stop: str | list[str] | None = Field(None, description="changes nothing here")
    json_schema: dict[str, Any] | str | None = Field(None, description="changes nothing here")


class Following(Answer):
    """A character that may come next."""

    character: str
    id: int
    probability: float = Field(description="the model's own")
    counting: float | None = Field(description="by its n-gram counts alone; null where it has none")
    drawn: float = Field(description="with what probability it is drawn: after penalties, temperature and filters")


class NextAnswer(Answer):
    """What comes next, the likeliest first. Others may be drawn, too: those that are listed need not add up to 1."""

    model: str
    entropy_bits: float = Field(description="of the model's own distribution: how unsure it is")
    next: list[Following]


@router.post("/api/next", response_model=NextAnswer)
async def next_character(asked: NextRequest, library: LibraryOf) -> Response:
    """What a model expects after a text, what counting alone expects, and what would be drawn."""
    limited(asked.text, library)
    async with library.model(asked.model) as served:
        return await answered(served, lambda: following(served.model, asked))


def following(model: LanguageModel, asked: Any) -> dict[str, Any]:
    """The answer."""
    names = {f.name for f, _ in typed_fields(SamplerConfig)} | {"charset", "exclude"}
    given: dict[str, Any] = asked.model_dump()
    options = {name: value for name, value in given.items() if name in names and value is not None}
    greedy_at_0(options)
    options["logit_bias"] = characters_of(asked.logit_bias or {}, model.vocabulary)
    found = model.next_characters(asked.text, n=asked.shown, unknown=asked.unknown, **options)
    return {"entropy_bits": found.entropy_bits, "next": [asdict(each) for each in found.likeliest]}
