"""/v1/models: what there is to choose from."""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel

from letterwise.serve.library import LibraryOf

router = APIRouter(tags=["openai"])


class ModelFacts(BaseModel):
    """What a person wants to know of a model before choosing it."""

    loaded: bool
    preset: str
    size: str
    params: int
    context: int
    kind: Literal["char", "byte"]
    characters: str
    lines: bool
    counts: bool
    bits_per_char: float | None
    text: str


class Model(BaseModel):
    """A model, as OpenAI lists it, and our facts beside."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["letterwise"] = "letterwise"
    letterwise: ModelFacts


class Models(BaseModel):
    """All of them; the first is the default."""

    object: Literal["list"] = "list"
    data: list[Model]


@router.get("/v1/models", response_model=Models)
async def list_models(library: LibraryOf) -> Any:
    """The models that can be asked for, the default first."""
    return {"data": await library.listing()}


@router.get("/v1/models/{name:path}", response_model=Model)
async def show_model(name: str, library: LibraryOf) -> Any:
    """One of them."""
    return await library.entry(name)
