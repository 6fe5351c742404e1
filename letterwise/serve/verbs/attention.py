"""/api/attention: who reads whom. `LanguageModel.attention`, over the wire."""

from typing import Any

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from letterwise.api import LanguageModel
from letterwise.serve.library import LibraryOf
from letterwise.serve.verbs.answers import Answer, answered
from letterwise.serve.verbs.reading import ViewRequest, limited, view

router = APIRouter(tags=["letterwise"])


class AttentionAnswer(Answer):
    """How much of each character every character reads."""

    model: str
    start: int = Field(description="where the first character that is shown stands in the text")
    characters: list[str]
    layers: int
    heads: int
    weights: list[list[list[list[float]]]] = Field(
        description="[layer][head][reader][read]: rows end at the reader itself, and sum to 1"
    )


@router.post("/api/attention", response_model=AttentionAnswer)
async def attention(asked: ViewRequest, library: LibraryOf) -> Response:
    """What every head of every layer reads, over the end of a text."""
    limited(asked.text, library)
    async with library.model(asked.model) as served:
        return await answered(served, lambda: read_by(served.model, asked), depth=2)


def read_by(model: LanguageModel, asked: ViewRequest) -> dict[str, Any]:
    """The answer."""
    seen = view(model, asked)  # which needs no PyTorch
    from letterwise.evaluation.inside import attention

    weights = attention(model.text_model, seen.ids).double().cpu().numpy().round(4)
    shape = model.config.model
    return {
        "start": seen.start,
        "characters": seen.characters,
        "layers": shape.n_layer,
        "heads": shape.n_head,
        "weights": [[[row[: i + 1].tolist() for i, row in enumerate(head)] for head in layer] for layer in weights],
    }
