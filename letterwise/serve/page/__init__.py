"""Page: the files that a browser is sent. They are read once, at the start: no request reaches the disk.

/ ──▶ index.html        /page/NAME ──▶ one of the files beside this one, or curves.js, which reports draw by, too
"""

import hashlib
import mimetypes
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from letterwise.serve.errors import Refused
from letterwise.training.report.document import CURVES

KINDS = (".html", ".css", ".js", ".svg")
OWN = sorted(path for path in Path(__file__).parent.iterdir() if path.suffix in KINDS)
FILES = {path.name: path.read_bytes() for path in (*OWN, CURVES)}
TAGS = {name: f'"{hashlib.sha256(content).hexdigest()[:16]}"' for name, content in FILES.items()}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def index(request: Request) -> Response:
    """The page."""
    return file("index.html", request)


@router.get("/page/{name}")
async def part(name: str, request: Request) -> Response:
    """A part of it. Raises `Refused` for what is none."""
    return file(name, request)


def file(name: str, request: Request) -> Response:
    """A file, or the news that the browser has it already."""
    if name not in FILES:
        raise Refused(404, f"the page has no part {name!r}.")
    headers = {"ETag": TAGS[name], "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == TAGS[name]:
        return Response(status_code=304, headers=headers)
    kind = "text/javascript" if name.endswith(".js") else mimetypes.guess_type(name)[0]
    return Response(FILES[name], media_type=kind, headers=headers)
