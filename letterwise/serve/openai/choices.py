"""Choices: the texts of one request, written by the scheduler, as they come.

prompts × n, Sampler, Limits ──prepare──▶ Choices ──submit──▶ jobs ──▶ (which, Piece), (which, Piece), …      left: cancelled
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from letterwise.data.vocabulary import Unknown, Vocabulary
from letterwise.errors import UserError
from letterwise.inference.constraints.cache import constraint_for
from letterwise.inference.generate import Request, or_line_break
from letterwise.inference.sampling.copies import CopyLimit
from letterwise.serve.config import LimitConfig
from letterwise.serve.errors import Refused, in_fields
from letterwise.serve.library import ServedModel
from letterwise.serve.openai.logprobs import Watcher
from letterwise.serve.openai.requests import WritingRequest, options_of
from letterwise.serve.scheduler import Job, Piece

Prompt = str | list[int]
ENDS = {"length": "length", "time": "length"}  # what OpenAI calls it; else "stop"


@dataclass
class Choice:
    """One text: where it begins, and who watches it."""

    prompt: np.ndarray
    request: Request
    watcher: Watcher | None
    length: int = 0  # characters so far
    tokens: int = 0  # ids so far


@dataclass
class Choices:
    """The texts of a request. They are written from `submit` on; `cancel` ends those that are still written."""

    served: ServedModel
    most: LimitConfig
    each: list[Choice]
    jobs: list[Job] = field(default_factory=list)
    pieces: asyncio.Queue[tuple[int, Piece]] = field(default_factory=asyncio.Queue)

    def submit(self) -> None:
        """Begin. Raises `Refused` when too many wait."""
        arrivals, deadline = self.served.arrivals, time.monotonic() + self.most.max_seconds

        def delivers(which: int) -> "Job":
            def deliver(piece: Piece) -> None:
                arrivals.put(self.pieces, (which, piece))

            return Job(self.each[which].request, deliver, deadline)

        self.jobs = [delivers(which) for which in range(len(self.each))]
        self.served.scheduler.submit(self.jobs)

    async def written(self) -> AsyncIterator[tuple[int, Piece]]:
        """Each piece, until all have ended; those that wait together as one. Raises what went wrong in one of them, and ends
        the others.
        """
        left = len(self.each)
        try:
            while left:
                arrived = {}
                which, piece = await self.pieces.get()
                while True:
                    arrived[which] = arrived[which].then(piece) if which in arrived else piece
                    if self.pieces.empty():
                        break
                    which, piece = self.pieces.get_nowait()
                for which, piece in arrived.items():
                    choice, left = self.each[which], left - bool(piece.ended)
                    if piece.text or piece.ended:
                        yield which, piece
                    choice.length += len(piece.text)
                    choice.tokens += count(piece.text, self.served.model.vocabulary)
                    if piece.error:
                        raise piece.error
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Nobody reads on."""
        for job in self.jobs:
            self.served.scheduler.cancel(job)

    @property
    def usage(self) -> dict[str, int]:
        """Ids read and written. Prompts of several texts count once."""
        read = sum({id(choice.prompt): len(choice.prompt) for choice in self.each}.values())
        wrote = sum(choice.tokens for choice in self.each)
        return {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}


async def prepare(
    served: ServedModel,
    asked: WritingRequest,
    prompts: list[Prompt],
    most: LimitConfig,
    *,
    max_tokens: int | None,
    logprobs: int | None,
    unknown: Unknown,
) -> Choices:
    """What is to be written. What takes time to compile is compiled here. Raises `UserError` for what cannot be."""
    n = 1 if asked.n is None else asked.n
    if n < 1:
        raise UserError(f"n={n} must be 1 or more.")
    if not 1 <= n * len(prompts) <= most.max_choices:
        raise UserError(f"{n * len(prompts)} texts are asked for at once: this server writes 1 to {most.max_choices}.")
    if asked.seed is not None and asked.seed < 0:
        raise UserError(f"seed={asked.seed} must be 0 or more.")
    model, vocabulary = served.model, served.model.vocabulary
    sampler, limits = options_of(asked, max_tokens, vocabulary, most)
    seed = secrets.randbits(32) if asked.seed is None else asked.seed

    def built() -> list[Choice]:
        if limits.constrained:
            constraint_for(vocabulary, limits, model.backend.constraints)
        return [choice(ids_of(prompt, vocabulary, most, unknown), seed + k) for prompt in prompts for k in range(n)]

    def choice(ids: np.ndarray, rng_seed: int) -> Choice:
        copies = CopyLimit(model.suffixes, vocabulary, limits.max_copy, ids) if limits.max_copy else None
        watcher = None if logprobs is None else Watcher(vocabulary, logprobs)
        return Choice(ids, Request(or_line_break(ids, vocabulary), sampler, limits, rng_seed, copies, watcher), watcher)

    takes_time = limits.constrained or limits.max_copy
    return Choices(served, most, await served.compute(built) if takes_time else built())


def ids_of(prompt: Prompt, vocabulary: Vocabulary, most: LimitConfig, unknown: Unknown) -> np.ndarray:
    """The ids of a prompt. Raises `UserError` when it is too long, or not of this vocabulary."""
    if len(prompt) > most.max_prompt:
        raise UserError(f"a prompt of {len(prompt):,} characters is too long: this server reads {most.max_prompt:,} at most.")
    if isinstance(prompt, str):
        try:
            return vocabulary.encode(prompt, unknown)
        except UserError as error:
            raise Refused(400, in_fields(str(error)), param="prompt") from error
    if prompt and not 0 <= min(prompt) <= max(prompt) < len(vocabulary):
        raise UserError(f"the prompt has ids that this model does not know: they are 0 to {len(vocabulary) - 1}.")
    return np.array(prompt, vocabulary.dtype)


def count(text: str, vocabulary: Vocabulary) -> int:
    """How many ids spell what was written."""
    return len(text) if vocabulary.kind == "char" else len(vocabulary.encode(text))


async def streamed(
    head: dict[str, Any], pieces: AsyncIterator[dict[str, Any]], choices: Choices, usage: bool
) -> AsyncIterator[dict[str, Any]]:
    """Each piece as an answer of its own, and at last the usage, if it is wanted."""
    async for piece in pieces:
        yield {**head, "choices": [piece], "usage": None}
    if usage:
        yield {**head, "choices": [], "usage": choices.usage}


def finish_reason(piece: Piece) -> str | None:
    """What OpenAI calls the end of a text."""
    return ENDS.get(piece.ended, "stop") if piece.ended else None
