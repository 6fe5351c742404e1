"""Engine: what comes next, given everything read so far.

    read(ids) ──▶ logits (V,) of the character after them        any chunking, and any company, gives the same answer

The text may be longer than the context. When the context is full, the sequence starts a new window on the last half of
it, so every prediction sees at least half a context (as evaluation's protocol `sliding` does at that stride). Windows
begin at fixed places of the text, whatever the chunking; re-reading half a window every half window keeps the cost of
a character constant however long the text grows, and serves every kind of position, learned ones included. Counts need only
the last few characters, so they read straight through.

A model of lines begins a new window with each line break that it reads, and knows nothing of what was before. When nothing was
read yet, it stands after a line break.
"""

from collections import abc
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Integer

from letterwise.config import ModelConfig
from letterwise.data.vocabulary import require_ids
from letterwise.errors import finite
from letterwise.inference.constraints.dfa_guide import DFAGuide
from letterwise.inference.constraints.language.dfa import DFA, END, NO_DFA
from letterwise.inference.sampling.sampler import SamplerState, valid

ROWS = 64  # characters that a memory reads at a time


@runtime_checkable
class Cache(Protocol):
    """What a model keeps of some texts: see `CompiledCache` and `TorchCache`."""

    def begin(self, text: int, before: abc.Sequence[int]) -> None: ...
    def read(self, rows: np.ndarray, wanted: np.ndarray, logits: np.ndarray) -> None: ...
    def write(
        self, rows: np.ndarray, logits: np.ndarray, filters: Any, bias: np.ndarray, uniforms: np.ndarray, unread: bool,
        dfa: DFA, walks: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]: ...  # fmt: skip
    def at_once(self, texts: int) -> int: ...
    def copy(self, text: int, other: Any, theirs: int) -> None: ...


@runtime_checkable
class Backend(Protocol):
    """What can read: `CompiledBackend` on a CPU, `TorchBackend` anywhere."""

    config: ModelConfig
    vocab_size: int
    line_break: int | None  # a model of lines knows nothing of what came before this id; None: it is none

    def cache(self, texts: int) -> Cache: ...


def cache_bytes(config: ModelConfig) -> int:
    """Keys and values that one text needs."""
    return 8 * config.n_layer * config.kv_heads * config.head_dim * config.block_size


class Request(NamedTuple):
    """Who is to draw characters for a text, and how many at most; of which, or on which way."""

    state: SamplerState
    most: int
    may: Bool[np.ndarray, "V"] | None
    walk: DFAGuide | None


class Engine:
    """Some texts being read side by side, each at its own place. Owns the policy for a full context."""

    def __init__(self, model: Backend, texts: int = 1) -> None:
        self.model, self.cache = model, model.cache(texts)
        self.block_size = model.config.block_size
        self.kept, self.reach = self.block_size // 2, max(0, model.config.counts_order - 1)
        self.history: list[list[int]] = [[] for _ in range(texts)]  # each window's ids, and the few before that counts see
        self.held = [0] * texts  # how many of them are the window's
        self.line_break, begin = model.line_break, [] if model.line_break is None else [model.line_break]
        # what each text was given and has not read
        self.new: dict[int, list[int]] = {text: begin[:] for text in range(texts) if begin}
        self.asked: dict[int, Request] = {}
        self.drawn: dict[int, tuple[list[int], bool]] = {}  # what was drawn for a text and not fetched; is it over?
        self.logits: Float[np.ndarray, "n V"] = np.zeros((texts, model.vocab_size), np.float32)  # nothing read: all alike

    def read(self) -> None:
        """Let each text read what it was given. `logits` (n, V), float32, is then what comes next in each.

        Raises `Diverged` when they are NaN.
        """
        rows: list[tuple[int, int, int]] = []
        ends: list[int] = []  # the last row of each text
        for text, new in self.new.items():
            first, ids = self._take(text, new)
            rows += [(text, place, id) for place, id in enumerate(ids, first)]
            ends.append(len(rows) - 1)
        self.new = {}
        for start in range(0, len(rows), ROWS):
            wanted = [end - start for end in ends if start <= end < start + ROWS]
            self.cache.read(np.array(rows[start : start + ROWS]), np.array(wanted, np.int64), self.logits)
        finite(float(self.logits.max()))

    def write(self) -> None:
        """Draw characters for the texts that asked for some, which all choose alike: all as many, up to where a text ends.

        In company, one that has ended is not to be read on: what its place in the memory holds is of no use.
        """
        texts, requests = [*self.asked], [*self.asked.values()]
        unread = all(self._goes_on(text) for text in texts)
        last = [self.new.pop(text)[0] if unread else 0 for text in texts]  # what was drawn last time
        self.read()
        room = self.block_size - max(self.held[text] for text in texts) + (not unread)  # the last is drawn, and not read
        count = min(room, self.cache.at_once(len(texts)), *(request.most for request in requests))
        uniforms = np.array([request.state.uniforms(count) for request in requests])
        rows = np.array([(text, self.held[text], id) for text, id in zip(texts, last, strict=True)])
        bias = np.array([request.state.biased(request.may) for request in requests])
        walks = np.array([(walk.state, walk.left) if (walk := request.walk) else (0, 0) for request in requests])
        dfa = requests[0].walk.dfa if requests[0].walk else NO_DFA
        filters = requests[0].state.sampler.filters
        found, drawn = self.cache.write(rows, self.logits, filters, bias, uniforms, unread, dfa, walks)
        for text, request, before, ids, used in zip(texts, requests, last, found.tolist(), drawn, strict=True):
            self._written(text, request, [before] if unread else [], ids, used)
        self.asked = {}

    def _written(self, text: int, request: Request, read: list[int], ids: list[int], used: Bool[np.ndarray, "c"]) -> None:
        """Note what was written behind what was `read`, up to its end, and the random numbers that were not used for it."""
        over, steps = END in ids, len(ids)
        if over:
            ids, steps = ids[: ids.index(END)], ids.index(END) + 1
        valid(min(ids, default=0))
        if self.line_break in ids:  # what was drawn behind it knew of what is before it
            steps = ids.index(self.line_break) + 1
            ids, over = ids[:steps], False
        request.state.put_back(len(used) - int(used[:steps].sum()))
        read = [*read, *ids] if over else [*read, *ids[:-1]]
        self.history[text] += read
        self.held[text] += len(read)
        self.drawn[text] = ids, over

    def _goes_on(self, text: int) -> bool:
        """Has it one character to read, and room for it in its window?"""
        new = self.new.get(text, [])
        return len(new) == 1 and new[0] != self.line_break and self.held[text] < self.block_size

    def _take(self, text: int, ids: list[int]) -> tuple[int, list[int]]:
        """Note the new ids. What has to be read, from which place on: more than these when a new window begins."""
        if self.line_break in ids:
            ids = ids[len(ids) - 1 - ids[::-1].index(self.line_break) :]
            self.history[text], self.held[text] = [], 0
            self.cache.begin(text, [])
        history, held = self.history[text], self.held[text]
        rolls = max(0, -(-(held + len(ids) - self.block_size) // (self.block_size - self.kept)))
        history += ids
        if not rolls:
            self.held[text] += len(ids)
            return held, ids
        begin = len(history) - len(ids) - held + rolls * (self.block_size - self.kept)
        fresh = history[begin:]
        del history[: max(0, begin - self.reach)]
        self.held[text] = len(fresh)
        self.cache.begin(text, history[: len(history) - len(fresh)])
        return 0, fresh

    def copy(self, text: int, other: "Engine", theirs: int) -> None:
        """Text `text` goes on from where text `theirs` of another batch is."""
        self.new.pop(text, None)
        self.cache.copy(text, other.cache, theirs)
        self.history[text], self.held[text] = other.history[theirs][:], other.held[theirs]
        self.logits[text] = other.logits[theirs]


class Sequence:
    """One text being read, alone or as one of a batch."""

    def __init__(self, model: Backend, engine: Engine | None = None, text: int = 0) -> None:
        self.engine, self.text = engine or Engine(model), text

    def read(self, ids: abc.Sequence[int] | Integer[np.ndarray, "n"]) -> Float[np.ndarray, "V"]:
        """Read on, and score what comes next: float32 logits (V,). With nothing to read, the last answer again."""
        self.feed(ids)
        return self.logits()

    def feed(self, ids: abc.Sequence[int] | Integer[np.ndarray, "n"]) -> None:
        """Note what is to be read. In company this costs less: all read when the first one asks for its logits.

        Raises `UserError` for ids outside the vocabulary.
        """
        new = list(map(int, ids))
        if new:
            if min(new) < 0 or max(new) >= self.engine.model.vocab_size:
                require_ids(np.array(new), self.engine.model.vocab_size)
            self.engine.new.setdefault(self.text, []).extend(new)

    def logits(self) -> Float[np.ndarray, "V"]:
        """What comes next: float32 logits (V,)."""
        if self.text in self.engine.new:
            self.engine.read()
        return self.engine.logits[self.text].copy()

    def ask(
        self, state: SamplerState, most: int, may: Bool[np.ndarray, "V"] | None = None, walk: DFAGuide | None = None
    ) -> None:
        """Ask for at most so many characters to be drawn, by one who sees logits only: of those that `may`, on this `walk`."""
        self.engine.asked[self.text] = Request(state, most, may, walk)

    def one(self, state: SamplerState, may: Bool[np.ndarray, "V"] | None) -> int:
        """One character that was asked for, or is now; it is not read."""
        if self.text not in self.engine.asked and self.text not in self.engine.drawn:
            self.ask(state, 1, may)
        ((id,), _) = self._drawn()
        return id

    def drawn(self) -> tuple[list[int], bool]:
        """Some of the characters that were asked for, as ids, read already; and whether its walk ends the text there.

        There is one at least, if the text does not end. In company, all ask first.
        """
        ids, over = self._drawn()
        if not over:
            self.feed(ids[-1:])
        return ids, over

    def _drawn(self) -> tuple[list[int], bool]:
        """The same, the last one not read."""
        if self.text in self.engine.asked:
            self.engine.write()
        return self.engine.drawn.pop(self.text)

    def fork(self) -> "Sequence":
        """Another that has read the same, and reads on by itself."""
        twin = Sequence(self.engine.model)
        twin.follow(self)
        return twin

    def follow(self, other: "Sequence") -> None:
        """Go on from where the other is."""
        other.logits()  # it may have something left to read
        self.engine.copy(self.text, other.engine, other.text)
