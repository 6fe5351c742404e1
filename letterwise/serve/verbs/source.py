"""/source: the files of letterwise/model, to be read beside what they do. They are read once: no request reaches the disk."""

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from letterwise.serve.errors import Refused

MODEL = Path(__file__).parents[2] / "model"
FILES = {path.name: path.read_text("utf-8") for path in sorted(MODEL.glob("*.py")) if path.name != "__init__.py"}
TEXT = {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "The file"}
router = APIRouter(tags=["letterwise"])


@router.get("/source/{name}", response_class=Response, responses={200: TEXT})
async def source(name: str) -> PlainTextResponse:
    """A file of the model's own code, for learners. /api/inspect says which there are. Raises `Refused` for any other."""
    if name not in FILES:
        raise Refused(404, f"there is no file {name[:100]!r} to be shown: there are {', '.join(FILES)}.", param="name")
    return PlainTextResponse(FILES[name])
