"""Errors: whatever goes wrong, in OpenAI's shape and in a sentence of ours.

UserError · Refused · what pydantic objects to · HTTPException ──▶ {"error": {message, type, param, code}}, 4xx
"""

import logging
import re
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from letterwise.errors import Diverged, UserError, did_you_mean, quoted, sentence

LOG = logging.getLogger("letterwise.serve")
FLAG = re.compile(r"--([a-z]\w*)")
HTTP_NAMES = {"num_tokens": "max_tokens", "rng_seed": "seed", "max_seconds": "timeout", "num_samples": "n"}
OUR_NAME = re.compile(rf"\b({'|'.join(HTTP_NAMES)})\b")
SURROGATES = re.compile("[\ud800-\udfff]")
KINDS = {  # of what pydantic says, in words of ours
    "string_type": "is not a text", "int_type": "is not a whole number", "int_from_float": "is not a whole number",
    "float_type": "is not a number", "bool_type": "is neither true nor false", "list_type": "is not a list",
    "dict_type": "is not an object", "model_type": "is not an object", "model_attributes_type": "is not an object",
    "string_unicode": "is no text: it holds half a character", "too_short": "is empty",
}  # fmt: skip

FORMS = {  # of fields that take several kinds
    "prompt": "give a text, a list of texts, a list of ids, or a list of lists of ids",
    "stop": "give a text, or a list of texts",
    "messages": "give a list of {'role': …, 'content': a text}",
    "json_schema": "give an object, or a text that is one",
}


class ErrorDetail(BaseModel):
    """What was wrong, and what to do next."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorAnswer(BaseModel):
    """The body of every answer that is no success."""

    error: ErrorDetail


class Refused(Exception):
    """A request that is answered with another status than 400."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code
        self.headers: dict[str, str] = {}

    @staticmethod
    def busy(message: str, seconds: float) -> "Refused":
        """Too much is asked at once: try again in so many seconds."""
        refused = Refused(429, message, code="busy")
        refused.headers = {"Retry-After": str(max(1, round(seconds)))}
        return refused


def plain(text: str) -> str:
    """The text with U+FFFD for each half of a character: no JSON reader takes them all."""
    return SURROGATES.sub("\ufffd", text)


def detail(error: Exception) -> tuple[int, ErrorDetail]:
    """The status and the body for an error."""
    if isinstance(error, Refused):
        kind = "invalid_request_error" if error.status < 429 else "server_error"
        return error.status, ErrorDetail(message=plain(str(error)), type=kind, param=error.param, code=error.code)
    if isinstance(error, UserError):
        named = FLAG.search(str(error)) or re.match(r"(\w+)=", str(error))
        param = HTTP_NAMES.get(named[1], named[1]) if named else None
        status = 500 if isinstance(error, Diverged) else 400
        return status, ErrorDetail(message=in_fields(str(error)), type="invalid_request_error", param=param)
    LOG.error("a request failed", exc_info=error)
    return 500, ErrorDetail(message="something went wrong here, and is in the server's log.", type="server_error")


def in_fields(message: str) -> str:
    """A message of lower layers, which speak of flags, in the names of a request's fields."""
    return plain(OUR_NAME.sub(lambda found: HTTP_NAMES[found[1]], FLAG.sub(r"\1", message)))


def answer(error: Exception) -> JSONResponse:
    """The answer to what went wrong."""
    status, body = detail(error)
    headers = error.headers if isinstance(error, Refused) else None
    return JSONResponse({"error": body.model_dump()}, status, headers)


def objection(error: dict[str, Any], known: list[str]) -> tuple[str, str | None]:
    """What pydantic objects to, as a sentence, and the field."""
    place = [str(part) for part in error["loc"] if part != "body"]
    name, kind, given = place[0] if place else None, error["type"], error.get("input")
    if kind == "json_invalid":
        return "the body is not JSON: send an object, as application/json.", None
    if kind == "extra_forbidden":
        return f"{quoted(place[-1])} is not a known field: {did_you_mean(place[-1], known)}", name
    if kind == "missing":
        return (f"{place[-1]} is missing." if place else "there is no body: send a JSON object."), name
    if name in FORMS and len(place) > 1 and kind.endswith("_type"):
        return f"{name}: {FORMS[name]}.", name
    said = KINDS.get(kind) or error["msg"].lower()
    return sentence(f"{'.'.join(place) or 'the body'}={quoted(given)} {said}"), name


def install(app: FastAPI) -> None:
    """Let an application answer so."""

    async def invalid(request: Request, error: Any) -> JSONResponse:
        body = getattr(request.scope.get("route"), "body_field", None)
        known = list(body.field_info.annotation.model_fields) if body else []
        message, param = objection(error.errors()[0], known)
        return answer(Refused(400, plain(message), param=param))

    async def refused(request: Request, error: Exception) -> JSONResponse:
        return answer(error)

    async def http(request: Request, error: Any) -> JSONResponse:
        says = {
            400: "the body is no JSON that can be read: send an object, in UTF-8.",
            404: "there is nothing at this address: see /openapi.json.",
            405: "this address does not take that method.",
        }
        refusal = Refused(error.status_code, says.get(error.status_code, sentence(error.detail)))
        refusal.headers = dict(error.headers or {})
        return answer(refusal)

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    for kind in (Refused, UserError, Exception):
        app.add_exception_handler(kind, refused)
