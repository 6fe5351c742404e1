"""/v1/chat/completions: for front ends that know nothing else. A model of characters has learned a text, and no conversation.

The template is plain: what was said so far is one text, each message on a line of its own, and the answer is what follows.
Roles are not written: no text that these models learn has them. Characters that the model has never seen are left out.
"""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from letterwise.errors import UserError
from letterwise.serve.errors import plain
from letterwise.serve.library import LibraryOf
from letterwise.serve.openai.choices import Choices, finish_reason, prepare, streamed
from letterwise.serve.openai.completions import Usage
from letterwise.serve.openai.events import STREAMED, EventStream, unless_gone
from letterwise.serve.openai.logprobs import chat_logprobs
from letterwise.serve.openai.requests import DEFAULT_TOKENS, MAX_LOGPROBS, Strict, WritingRequest, with_options

router = APIRouter(tags=["openai"])


class Part(Strict):
    """A part of a message: text is all that is read here."""

    type: Literal["text"]
    text: str


class Message(Strict):
    """Something that was said."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    name: Any = Field(None, description="is not used")
    refusal: Any = Field(None, description="is not used")
    tool_calls: Any = Field(None, description="is not used")
    tool_call_id: Any = Field(None, description="is not used")


@with_options
class ChatRequest(WritingRequest):
    """A conversation, to be written on."""

    messages: list[Message] = Field(description="what was said so far", min_length=1, max_length=10_000)
    max_tokens: int | None = Field(
        None, description=f"characters to write (default: {DEFAULT_TOKENS})", json_schema_extra={"minimum": 0}
    )
    max_completion_tokens: int | None = Field(None, description="the same", json_schema_extra={"minimum": 0})
    logprobs: bool | None = Field(False, description="also tell the log-probability of each character")
    tools: list[Any] | None = Field(None, description="is refused, unless it is empty: these models call none")
    tool_choice: Any = Field(None, description="is not used: there are no tools")
    modalities: list[str] | None = Field(None, description="text, and nothing else")
    top_logprobs: int | None = Field(
        None, description="and so many of the likeliest there", json_schema_extra={"minimum": 0, "maximum": MAX_LOGPROBS}
    )


class TokenLogprob(BaseModel):
    """A character, its log-probability in nats, and its bytes."""

    token: str
    logprob: float | None
    bytes: list[int]


class ContentLogprob(TokenLogprob):
    """And the likeliest in its place."""

    top_logprobs: list[TokenLogprob]


class ChatLogprobs(BaseModel):
    """Of each character of the answer."""

    content: list[ContentLogprob]


class Said(BaseModel):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str


class ChatChoice(BaseModel):
    """One answer."""

    index: int
    message: Said
    logprobs: ChatLogprobs | None = None
    finish_reason: Literal["stop", "length"]
    ended: Literal["length", "stop", "line", "match", "time"]


class ChatCompletion(BaseModel):
    """What was answered."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


@router.post("/v1/chat/completions", response_model=ChatCompletion, responses=STREAMED)
async def chat(asked: ChatRequest, http: Request, library: LibraryOf) -> Any:
    """Write on behind what was said; with `stream`, piece by piece, as server-sent events that end with `[DONE]`."""
    if asked.tools:
        raise UserError("tools are not known here: a model of characters calls none. Use response_format to get JSON.")
    if asked.modalities not in (None, [], ["text"]):
        raise UserError(f"modalities={asked.modalities} are not known here: these models write text.")
    tokens = asked.max_tokens if asked.max_completion_tokens is None else asked.max_completion_tokens
    async with AsyncExitStack() as held:
        served = await held.enter_async_context(library.model(asked.model))
        choices = await prepare(
            served,
            asked,
            [template(asked.messages)],
            library.config.limits,
            max_tokens=tokens,
            logprobs=top_of(asked),
            unknown=asked.unknown or "skip",
        )
        head = {"id": f"chatcmpl-{http.state.request_id}", "created": int(time.time()), "model": served.name}
        choices.submit()
        held.callback(choices.cancel)
        if asked.stream:
            usage = bool(asked.stream_options and asked.stream_options.include_usage)
            pieces = streamed({**head, "object": "chat.completion.chunk"}, deltas(choices), choices, usage)
            return EventStream(pieces, held.pop_all())
        return await unless_gone(http.receive, whole(head, choices))


def template(messages: list[Message]) -> str:
    """The text that was said so far: a line for each message, and the beginning of the next."""
    said = [m.content if isinstance(m.content, str) else "".join(part.text for part in m.content or []) for m in messages]
    return "".join(f"{text}\n" for text in said)


def top_of(asked: ChatRequest) -> int | None:
    """How many of the likeliest to tell; None for no log-probabilities. Raises `UserError`."""
    if asked.top_logprobs is not None and not (asked.logprobs and 0 <= asked.top_logprobs <= MAX_LOGPROBS):
        raise UserError(f"top_logprobs={asked.top_logprobs} must be 0 to {MAX_LOGPROBS}, with logprobs true.")
    return (asked.top_logprobs or 0) if asked.logprobs else None


def thoughts(choices: Choices, which: int, text: str) -> dict[str, Any] | None:
    """The log-probabilities of a piece, if they are wanted."""
    watcher = choices.each[which].watcher
    return chat_logprobs(watcher.of(text), watcher.vocabulary) if watcher else None


async def deltas(choices: Choices) -> AsyncIterator[dict[str, Any]]:
    """Pieces of the answers, as they are streamed."""
    for which in range(len(choices.each)):
        yield {"index": which, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
    async for which, piece in choices.written():
        delta, logprobs = {"content": plain(piece.text)} if piece.text else {}, thoughts(choices, which, piece.text)
        ends = {"finish_reason": finish_reason(piece), "ended": piece.ended or None}
        yield {"index": which, "delta": delta, "logprobs": logprobs, **ends}


async def whole(head: dict[str, Any], choices: Choices) -> dict[str, Any]:
    """The answers, complete."""
    texts: list[dict[str, Any]] = [{"index": which, "content": "", "logprobs": []} for which in range(len(choices.each))]
    async for which, piece in choices.written():
        text, logprobs = texts[which], thoughts(choices, which, piece.text)
        text["content"] += plain(piece.text)
        text["logprobs"] += logprobs["content"] if logprobs else []
        text["finish_reason"], text["ended"] = finish_reason(piece), piece.ended
    for text, choice in zip(texts, choices.each, strict=True):
        text["message"] = {"content": text.pop("content")}
        text["logprobs"] = {"content": text["logprobs"]} if choice.watcher else None
    return {**head, "choices": texts, "usage": choices.usage}
