"""/source: the files of letterwise/model, to be read beside what they do. They are read once: no request reaches the disk."""

import html
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from letterwise.serve.errors import Refused

MODEL = Path(__file__).parents[2] / "model"
FILES = {path.name: path.read_text("utf-8") for path in sorted(MODEL.glob("*.py")) if path.name != "__init__.py"}
TEXT = {
    "content": {kind: {"schema": {"type": "string"}} for kind in ("text/plain", "text/html")},
    "description": "The file, or, for a browser, a page of it",
}
router = APIRouter(tags=["letterwise"])


@router.get("/source/{name}", response_class=Response, responses={200: TEXT})
async def source(name: str, request: Request) -> Response:
    """A file of the model's own code, for learners. /api/inspect says which there are. Raises `Refused` for any other."""
    if name not in FILES:
        raise Refused(404, f"there is no file {name[:100]!r} to be shown: there are {', '.join(FILES)}.", param="name")
    wants_page = "text/html" in request.headers.get("accept", "")
    return HTMLResponse(as_page(name)) if wants_page else PlainTextResponse(FILES[name])


def as_page(name: str) -> str:
    """A file with its name, a way back, and the other files."""
    others = " · ".join(f'<a href="/source/{other}">{other}</a>' if other != name else f"<b>{name}</b>" for other in FILES)
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{name} · Letterwise</title>
<link rel="stylesheet" href="/page/style.css">
<link rel="stylesheet" href="/page/look.css">
<main class="look-source">
<h1>{name}</h1>
<p><a href="/#inside">Back to Look inside</a></p>
<p class="hint">The files of the model: {others}</p>
<pre tabindex="0"><code>{html.escape(FILES[name])}</code></pre>
</main>
"""
