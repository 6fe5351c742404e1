"""Log-probabilities: what the model thought of each character that it wrote, before temperature and filters.

logits (V,) before each id ──Watcher──▶ Thought, Thought, … ──as many as there is text for──▶ OpenAI's two shapes
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from letterwise.data.vocabulary import Vocabulary
from letterwise.inference.backend import Backend
from letterwise.inference.engine import Sequence
from letterwise.shapes import Float, Integer


class Thought(NamedTuple):
    """A character, its log-probability (nats; None where nothing was before it), and the likeliest there."""

    id: int
    logprob: float | None
    top: list[tuple[int, float]]


class Watcher:
    """Collects thoughts while a text is written in one thread, and gives them away in another, as the text becomes certain."""

    def __init__(self, vocabulary: Vocabulary, top: int) -> None:
        self.vocabulary, self.top = vocabulary, top
        self.thoughts: list[Thought] = []
        self.given = 0

    def __call__(self, id: int, logits: Float[np.ndarray, "V"]) -> None:
        self.thoughts.append(thought(id, logits, self.top))

    def of(self, text: str) -> list[Thought]:
        """The next ones: those of this text. Behind a time limit, what completes a text was not thought about."""
        ids = self.vocabulary.encode(text).tolist()
        found = self.thoughts[self.given : self.given + len(ids)]
        self.given += len(ids)
        return [*found, *(Thought(id, None, []) for id in ids[len(found) :])]


def thought(id: int, logits: Float[np.ndarray, "V"], top: int) -> Thought:
    """What logits say of an id, and of the likeliest ones."""
    scores = logits.astype(np.float64) - logits.max()
    scores -= np.log(np.exp(scores).sum())
    likeliest = np.argsort(-scores, kind="stable")[:top]
    return Thought(id, float(scores[id]), [(int(i), float(scores[i])) for i in likeliest])


def prompt_thoughts(backend: Backend, ids: Integer[np.ndarray, "n"], top: int) -> list[Thought]:
    """What a model thinks of a text that it reads."""
    text, thoughts = Sequence(backend), []
    for i, id in enumerate(ids.tolist()):
        thoughts.append(thought(id, text.logits(), top) if i else Thought(id, None, []))
        text.feed([id])
    return thoughts


def spelled(vocabulary: Vocabulary) -> Callable[[int], str]:
    """How to write an id: the character, or a byte that is none by itself as OpenAI does, `bytes:\\xe2`."""
    if vocabulary.kind == "char":
        return vocabulary.characters.__getitem__
    return lambda id: chr(id) if id < 128 else f"bytes:\\x{id:02x}"


def finite(logprob: float | None) -> float | None:
    """JSON knows no infinity: OpenAI writes -9999 for what cannot be."""
    return logprob if logprob is None else max(logprob, -9999.0)


def completion_logprobs(thoughts: list[Thought], vocabulary: Vocabulary, offset: int) -> dict:
    """As /v1/completions has them; the first character stands at `offset` of the text."""
    spell = spelled(vocabulary)
    return {
        "tokens": [spell(each.id) for each in thoughts],
        "token_logprobs": [finite(each.logprob) for each in thoughts],
        "top_logprobs": [{spell(id): finite(logprob) for id, logprob in each.top} or None for each in thoughts],
        "text_offset": offsets(thoughts, vocabulary, offset),
    }


def offsets(thoughts: list[Thought], vocabulary: Vocabulary, offset: int) -> list[int]:
    """Where each begins in the text; the bytes of one character, all at its beginning."""
    starts, at = [], offset - 1
    for each in thoughts:
        at += vocabulary.kind == "char" or not 0x80 <= each.id < 0xC0
        starts.append(max(at, offset))
    return starts


def chat_logprobs(thoughts: list[Thought], vocabulary: Vocabulary) -> dict:
    """As /v1/chat/completions has them."""
    spell = spelled(vocabulary)

    def entry(id: int, logprob: float | None) -> dict:
        shown = [id] if vocabulary.kind == "byte" else list(spell(id).encode("utf-8", "replace"))
        return {"token": spell(id), "logprob": finite(logprob), "bytes": shown}

    return {"content": [{**entry(t.id, t.logprob), "top_logprobs": [entry(*likely) for likely in t.top]} for t in thoughts]}
