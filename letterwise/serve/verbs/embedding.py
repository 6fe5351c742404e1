"""/api/embedding: a map of the characters. `LanguageModel.embedding_map`, over the wire."""

from typing import Any

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from letterwise.api import LanguageModel
from letterwise.serve.library import LibraryOf
from letterwise.serve.verbs.answers import Answer, ModelName, answered

router = APIRouter(tags=["letterwise"])


class Point(Answer):
    """A character's place."""

    character: str
    x: float
    y: float


class EmbeddingAnswer(Answer):
    """Characters in the plane that shows most of their embedding (its first two principal components)."""

    model: str
    points: list[Point] = Field(description="one for each id, in their order")
    explained: list[float] = Field(description="which share of all variance each of both axes shows")


@router.get("/api/embedding", response_model=EmbeddingAnswer)
async def embedding(library: LibraryOf, model: ModelName = None) -> Response:
    """Where the characters lie: those that are alike to the model lie side by side."""
    async with library.model(model) as served:
        return await answered(served, lambda: mapped(served.model))


def mapped(model: LanguageModel) -> dict[str, Any]:
    """The answer."""
    found = model.embedding_map()
    points = [{"character": model.vocabulary.decode([id]), "x": x, "y": y} for id, (x, y) in enumerate(found.points.tolist())]
    return {"points": points, "explained": found.explained}
