"""/v1/completions: what follows a text."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from letterwise.errors import UserError
from letterwise.serve.errors import plain
from letterwise.serve.library import LibraryOf
from letterwise.serve.openai.choices import Choices, Prompt, finish_reason, prepare, streamed
from letterwise.serve.openai.events import STREAMED, EventStream, unless_gone
from letterwise.serve.openai.logprobs import completion_logprobs, prompt_thoughts
from letterwise.serve.openai.requests import DEFAULT_TOKENS, MAX_LOGPROBS, WritingRequest, with_options

router = APIRouter(tags=["openai"])


@with_options
class CompletionRequest(WritingRequest):
    """A text, or several, to be written on."""

    prompt: str | list[str] | list[int] | list[list[int]] | None = Field(
        None, description="text, or ids, or several of them; without: any beginning"
    )
    max_tokens: int | None = Field(
        None, description=f"characters to write (default: {DEFAULT_TOKENS})", json_schema_extra={"minimum": 0}
    )
    logprobs: int | None = Field(
        None, description="also tell the log-probability of each character, and so many of the likeliest there",
        json_schema_extra={"minimum": 0, "maximum": MAX_LOGPROBS},
    )  # fmt: skip
    echo: bool | None = Field(False, description="begin the answer with the prompt")
    suffix: str | None = Field(None, description="is refused: these models write forward only")
    best_of: int | None = Field(None, description="is refused if it is not n: ask for n texts, and choose")


class CompletionLogprobs(BaseModel):
    """Of each character: itself, its log-probability in nats, the likeliest there, and where it stands in the text."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float | None] | None]
    text_offset: list[int]


class CompletionChoice(BaseModel):
    """One text. `ended` says more exactly what `finish_reason` says: length, stop, line, match (the constraint), time."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None = None
    finish_reason: Literal["stop", "length"] | None = None
    ended: Literal["length", "stop", "line", "match", "time"] | None = None


class Usage(BaseModel):
    """Characters (of a byte vocabulary: bytes) read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(BaseModel):
    """What was written."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None = None


@router.post("/v1/completions", response_model=Completion, responses=STREAMED)
async def complete(asked: CompletionRequest, http: Request, library: LibraryOf) -> Any:
    """Continue a text, or several; with `stream`, piece by piece, as server-sent events that end with `[DONE]`."""
    refuse(asked)
    prompts, most = prompts_of(asked.prompt), library.config.limits
    async with AsyncExitStack() as held:
        served = await held.enter_async_context(library.model(asked.model))
        choices = await prepare(
            served,
            asked,
            prompts,
            most,
            max_tokens=asked.max_tokens,
            logprobs=asked.logprobs,
            unknown=asked.unknown or "error",
        )
        head = {"id": f"cmpl-{http.state.request_id}", "created": int(time.time()), "model": served.name}
        texts = answers(choices, asked)
        choices.submit()
        held.callback(choices.cancel)
        if asked.stream:
            usage = bool(asked.stream_options and asked.stream_options.include_usage)
            return EventStream(streamed({**head, "object": "text_completion"}, texts, choices, usage), held.pop_all())
        return await unless_gone(http.receive, whole(head, texts, choices))


def refuse(asked: CompletionRequest) -> None:
    """Raises `UserError` for what no model of ours does."""
    if asked.suffix:
        raise UserError("suffix is not known here: these models write forward, and know no end to write towards.")
    if asked.best_of is not None and asked.best_of != (asked.n or 1):
        raise UserError(f"best_of={asked.best_of} is not known here: ask for n texts with logprobs, and choose.")
    if asked.logprobs is not None and not 0 <= asked.logprobs <= MAX_LOGPROBS:
        raise UserError(f"logprobs={asked.logprobs} must be 0 to {MAX_LOGPROBS}.")


def prompts_of(given: str | list[str] | list[int] | list[list[int]] | None) -> list[Prompt]:
    """A list of prompts, whatever form it came in."""
    if given is None:
        return [""]
    if isinstance(given, str):
        return [given]
    if given and isinstance(given[0], int):
        return [given]  # ty: ignore[invalid-explicit-return]
    return list(given) or [""]  # ty: ignore[invalid-explicit-return]


async def answers(choices: Choices, asked: CompletionRequest) -> AsyncIterator[dict[str, Any]]:
    """Pieces of the answer's choices: with `echo`, the prompts before them."""
    vocabulary = choices.served.model.vocabulary
    if asked.echo:
        for which, choice in enumerate(choices.each):
            text, logprobs = vocabulary.decode(choice.prompt), None
            if asked.logprobs is not None:
                backend = choices.served.model.backend
                thoughts = await choices.served.compute(prompt_thoughts, backend, choice.prompt, asked.logprobs)
                logprobs = completion_logprobs(thoughts, vocabulary, 0)
            yield piece_of(which, text, logprobs)
    async for which, piece in choices.written():
        choice, logprobs = choices.each[which], None
        if choice.watcher:
            before = len(vocabulary.decode(choice.prompt)) if asked.echo else 0
            logprobs = completion_logprobs(choice.watcher.of(piece.text), vocabulary, before + choice.length)
        yield {**piece_of(which, piece.text, logprobs), "finish_reason": finish_reason(piece), "ended": piece.ended or None}


def piece_of(which: int, text: str, logprobs: dict[str, Any] | None) -> dict[str, Any]:
    """A piece of one choice, nothing being known of its end."""
    return {"index": which, "text": plain(text), "logprobs": logprobs, "finish_reason": None, "ended": None}


async def whole(head: dict[str, Any], pieces: AsyncIterator[dict[str, Any]], choices: Choices) -> dict[str, Any]:
    """The pieces of each choice put together."""
    texts = [piece_of(which, "", None) for which in range(len(choices.each))]
    async for piece in pieces:
        text = texts[piece["index"]]
        text["text"] += piece["text"]
        text["finish_reason"], text["ended"] = piece["finish_reason"], piece["ended"]
        if piece["logprobs"] is not None:
            there = text["logprobs"] = text["logprobs"] or {name: [] for name in piece["logprobs"]}
            for name, values in piece["logprobs"].items():
                there[name] += values
    return {**head, "object": "text_completion", "choices": texts, "usage": choices.usage}
