"""/api/inspect: what a model is made of, what it costs, and how it learned. `letterwise inspect`, over the wire."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from letterwise.api import LanguageModel
from letterwise.checkpoint.facts import facts
from letterwise.config.accounting import cache_bytes, flops_per_char
from letterwise.serve.library import LibraryOf
from letterwise.serve.verbs.answers import Answer, ModelName, answered, finite
from letterwise.serve.verbs.source import FILES

router = APIRouter(tags=["letterwise"])


class Part(Answer):
    """A part of a model."""

    name: str
    params: int = Field(description="how many trained numbers it has")
    file: str = Field(description="the file that does it, at /source/")
    says: str = Field(description="what it does, in a sentence")


class InspectAnswer(Answer):
    """All about a model."""

    model: str
    params: int
    flops_per_char: int = Field(description="floating-point operations for a character, at a full context")
    cache_bytes: int = Field(description="memory of a text's keys and values, at a full context")
    parts: list[Part] = Field(description="in the order in which a text passes them; their numbers add up to params")
    facts: dict[str, str] = Field(description="as `letterwise inspect` says them, without folders")
    history: list[dict[str, Any]] = Field(description="a row for each validation, oldest first")
    files: list[str] = Field(description="what /source/ shows")


@router.get("/api/inspect", response_model=InspectAnswer)
async def inspect(library: LibraryOf, model: ModelName = None) -> Response:
    """What a model is made of, part by part, what it costs to run, and how it learned."""
    async with library.model(model) as served:
        return await answered(served, lambda: described(served.model))


def described(model: LanguageModel) -> dict[str, Any]:
    """The answer."""
    shapes, size = [network.model for network in model.file.networks], len(model.vocabulary)
    return {
        "params": model.params,
        "flops_per_char": sum(flops_per_char(shape, size) for shape in shapes),
        "cache_bytes": sum(map(cache_bytes, shapes)),
        "parts": [asdict(part) for part in model.parts()],
        "facts": facts(model.file, folders=False),
        "history": finite(model.history),
        "files": list(FILES),
    }
