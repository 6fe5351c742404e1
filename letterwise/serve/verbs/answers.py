"""Answers: what takes its time is computed in a worker thread, and spelled there.

plain containers ──a few at a time──▶ JSON        meanwhile, the other threads write on: of one long piece they would all wait
"""

import json
import math
from collections.abc import Callable, Iterator
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from letterwise.serve.errors import plain
from letterwise.serve.library import ServedModel

AT_ONCE = 500  # elements of a list that are spelled together
Guess = Annotated[list[str | float], Field(min_length=2, max_length=2)]  # a character, and its probability
ModelName = Annotated[str | None, Query(description="one of /v1/models (without: the first)", max_length=1000)]


class Answer(BaseModel):
    """What comes back: just these fields."""

    model_config = ConfigDict(extra="forbid")


async def answered(served: ServedModel, build: Callable[[], dict[str, Any]], *, depth: int = 0) -> Response:
    """What `build` says of a model, as JSON. `depth`: so many levels of its lists are no more than a few long ones."""
    content = await served.compute(lambda: in_json({"model": served.name, **build()}, depth))
    return Response(content, media_type="application/json")


def in_json(answer: dict[str, Any], depth: int = 0) -> bytes:
    """Plain containers as JSON, without halves of characters."""
    fields = (b"%b:%b" % (spelled(name), b"".join(pieces(value, depth))) for name, value in answer.items())
    return b"{%b}" % b",".join(fields)


def pieces(value: Any, depth: int) -> Iterator[bytes]:
    """The JSON of a value in pieces that are spelled quickly."""
    if not isinstance(value, list):
        yield spelled(value)
    elif depth:
        yield b"[%b]" % b",".join(b"".join(pieces(each, depth - 1)) for each in value)
    else:
        yield b"["
        for first in range(0, len(value), AT_ONCE):
            yield (b"," if first else b"") + spelled(value[first : first + AT_ONCE])[1:-1]
        yield b"]"


def spelled(value: Any) -> bytes:
    """JSON of one value. Raises `ValueError` for what is no number."""
    return plain(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))).encode()


def finite(value: Any) -> Any:
    """The same containers, with None for what is no number: JSON has no such thing."""
    if isinstance(value, dict):
        return {name: finite(each) for name, each in value.items()}
    if isinstance(value, list):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
