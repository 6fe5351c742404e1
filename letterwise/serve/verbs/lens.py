"""/api/lens: what a model would guess after each of its layers. `LanguageModel.lens`, over the wire."""

from typing import Any

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from letterwise.api import LanguageModel
from letterwise.serve.library import LibraryOf
from letterwise.serve.verbs.answers import Answer, Guess, answered
from letterwise.serve.verbs.reading import ViewRequest, limited, view

MOST = 20  # guesses at a place
router = APIRouter(tags=["letterwise"])


class LensRequest(ViewRequest):
    """A text, and how many guesses to tell."""

    top_k: int = Field(3, ge=1, le=MOST, description="tell so many of the likeliest characters")


class LensAnswer(Answer):
    """The guesses of each layer, for what follows each character. The last layer's are the model's own."""

    model: str
    start: int = Field(description="where the first character that is shown stands in the text")
    characters: list[str]
    layers: list[str] = Field(description="embedding, block 1, …, output: after the last block")
    guesses: list[list[list[Guess]]] = Field(description="[layer][place]: characters with their probabilities")


@router.post("/api/lens", response_model=LensAnswer)
async def lens(asked: LensRequest, library: LibraryOf) -> Response:
    """What would come next if the model ended after its embedding, after one block, after two, … over the end of a text."""
    limited(asked.text, library)
    async with library.model(asked.model) as served:
        return await answered(served, lambda: guessed(served.model, asked), depth=1)


def guessed(model: LanguageModel, asked: LensRequest) -> dict[str, Any]:
    """The answer."""
    seen, vocabulary = view(model, asked), model.vocabulary  # which needs no PyTorch
    from letterwise.evaluation.inside import lens

    chances, ids = lens(model.text_model, seen.ids).double().softmax(-1).topk(min(asked.top_k, len(vocabulary)))
    spelling = {id: vocabulary.decode([id]) for id in ids.unique().tolist()}
    return {
        "start": seen.start,
        "characters": seen.characters,
        "layers": [*("embedding", *(f"block {n + 1}" for n in range(len(ids) - 2)))[: len(ids) - 1], "output"],
        "guesses": [
            [
                [(spelling[id], round(p, 6)) for id, p in zip(*place, strict=True)]
                for place in zip(layer.tolist(), probabilities.tolist(), strict=True)
            ]
            for layer, probabilities in zip(ids, chances, strict=True)
        ],
    }
