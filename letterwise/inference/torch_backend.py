"""PyTorch backend: a model as it stands in letterwise/model, reading with its KV cache on any device.

tokens (row, position, id) ──Counts──▶ what counts say ──Transformer──▶ logits (V,) of what follows those that are wanted

All texts are read together: one character of each, or more of one that has a prompt to read. But a product of matrices may add
up in another order when it has other sizes, which changes the last bits, and now and then a character. So a pass is filled up:
on a CPU to a multiple of `ROWS`, which all give the same bits (tests/inference/test_engine.py), elsewhere always to `CHUNK`, as
rows cost next to nothing there. Where even that does not help, in models a few numbers wide, texts are read one after another.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from letterwise.config import ModelConfig
from letterwise.inference.backend import CHUNK, Backend, Draw, draw_each
from letterwise.inference.captured import Function, captured
from letterwise.inference.constraints.cache import constraint_cache
from letterwise.inference.ensemble import EnsembleBackend
from letterwise.inference.sampling.filters import room_for
from letterwise.model import Ensemble, KVCache, Transformer
from letterwise.ngrams import Counts
from letterwise.shapes import Bool, Float, Int

ROWS = 8  # of a matrix on a CPU: with fewer, its library adds up in other orders
# With fewer columns than NARROW, and sums of no multiple of SUMMED numbers, it does so in the rows of one matrix, too.
NARROW, SUMMED = 12, 8
RECORDS, RECORDED_AFTER = {"cuda"}, 16  # kinds of devices, and steps: recording takes as long as some


class TorchBackend:
    """A model and its counts."""

    def __init__(self, model: Transformer, counts: Counts | None = None, line_break: int | None = None) -> None:
        """`line_break` is for a model of lines."""
        self.model, self.counts, self.line_break = model, counts if model.prior else None, line_break
        self.config, self.vocab_size, self.constraints = model.config, model.vocab_size, constraint_cache()
        self.networks: tuple[ModelConfig, ...] = (model.config,)

    def cache(self, rows: int) -> "TorchCache":
        """Room for so many texts."""
        return TorchCache(self, rows)


def torch_backend(model: Transformer | Ensemble, counts: Counts | None = None, line_break: int | None = None) -> Backend:
    """A model, or an ensemble, all of whose members read in PyTorch."""
    if not isinstance(model, Ensemble):
        return TorchBackend(model, counts, line_break)
    return EnsembleBackend([TorchBackend(member, counts, line_break) for member in model.members], model.weights)


class TorchCache:
    """What the model keeps of the texts in some rows: keys and values, and the last characters for the counts."""

    tokens_at_once = rows_at_once = CHUNK

    def __init__(self, backend: TorchBackend, rows: int) -> None:
        weights, counts = backend.model.tokens.weight, backend.counts
        self.backend, self.device = backend, weights.device
        self.rows = ROWS if self.device.type == "cpu" else CHUNK
        products = [part for part in backend.model.modules() if isinstance(part, nn.Linear)]
        self.alike = all(part.out_features >= NARROW or part.in_features % SUMMED == 0 for part in products)
        self.room = room_for(backend.vocab_size)
        self.kept = KVCache(backend.config, rows, like=weights.detach())
        seen = backend.config.counts_reach + 1 if counts else 0
        self.windows = np.full((rows, seen), -1)  # what counts look at; -1 is no character
        self.steps = 0  # in which each of some rows has read a character
        self.recorded: Function | None = None  # such a step, by a GPU
        self.may_record = self.alike and self.device.type in RECORDS and rows <= CHUNK
        self.may_record &= self.kept.nowhere >= self.kept.block_size

    def begin(self, row: int, before: Sequence[int]) -> None:
        """A window begins at position 0, with `before` before it, which only counts see."""
        self.kept.clear(row)
        self.windows[row] = -1
        for id in before[max(0, len(before) - self.windows.shape[1]) :]:
            self._count(row, id)

    @torch.inference_mode()
    def read(self, tokens: Int[np.ndarray, "N 3"], wanted: Int[np.ndarray, "W"], logits: Float[np.ndarray, "n V"]) -> None:
        """Read tokens (row, position, id), a row's in their order. For the `wanted` ones, `logits[row]` is what follows."""
        if not self.alike and len(tokens) > 1:  # each as the first row of a matrix of its own
            for i in range(len(tokens)):
                self.read(tokens[i : i + 1], np.zeros(int(i in wanted), int), logits)
            return
        order = np.argsort(tokens[:, 0], kind="stable")  # rows beside each other are read in one go
        asked = np.zeros(len(tokens), bool)
        asked[wanted] = True
        tokens, asked = tokens[order], asked[order]
        filled = [*range(len(tokens)), *[len(tokens) - 1] * (-len(tokens) % self.rows)]
        rows, positions, ids = tokens.T
        log_prior = self._log_prior(tokens)
        if self.may_record and len(np.unique(rows)) == len(rows) and (replayed := self._replayed()):
            after = replayed(*self._in_place(rows, positions, ids, log_prior))
            logits[rows[asked]] = after.cpu().numpy()[rows[asked]]
            return
        step = self.kept.step(rows.tolist(), positions.tolist(), len(filled))
        after = self.backend.model(
            torch.from_numpy(ids[filled, None]).to(self.device),
            step,
            None if log_prior is None else torch.from_numpy(log_prior[filled]).to(self.device),
        )
        if asked.any():
            logits[rows[asked]] = after[: len(tokens), 0].cpu().numpy()[asked]

    def _replayed(self) -> Function | None:
        """A step of all rows as the device has recorded it; None before it is worth that, and where it fails, which is said."""
        self.steps += 1
        if self.steps == RECORDED_AFTER:
            nothing = np.zeros(0, np.int64)
            inputs = [tensor.to(self.device) for tensor in self._in_place(nothing, nothing, nothing, None)]
            try:
                self.recorded = captured(self._step_of_all, inputs)
            except RuntimeError as error:
                self.may_record = False
                warnings.warn(f"{self.device} starts each character anew, as it cannot record how: {error}", stacklevel=2)
        return self.recorded

    def _in_place(self, rows: np.ndarray, positions: np.ndarray, ids: np.ndarray, log_prior: np.ndarray | None) -> list[Tensor]:
        """A character of some rows as inputs of `_step_of_all`, still on the CPU."""
        prior, batch = self.backend.model.prior, -(-len(self.windows) // self.rows) * self.rows
        each = np.full((2, batch), [[0], [self.kept.nowhere]])
        each[:, rows] = ids, positions
        inputs = [torch.from_numpy(each)]
        if prior:
            of_rows = np.zeros((batch, 1, prior.orders, self.backend.vocab_size + 1), np.float32)
            if log_prior is not None:
                of_rows[rows] = log_prior
            inputs.append(torch.from_numpy(of_rows))
        return inputs

    def _step_of_all(self, characters: Int[Tensor, "2 B"], log_prior: Tensor | None = None) -> Float[Tensor, "B V"]:
        """What follows a character (id, position) of each row."""
        return self.backend.model(characters[0, :, None], self.kept.step_of_all(characters[1]), log_prior)[:, 0]

    def _log_prior(self, tokens: Int[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 1 K E"] | None:
        """What counts say after each of the tokens; E is V + 1."""
        model, counts = self.backend.model, self.backend.counts
        if not counts or not model.prior:
            return None
        windows = np.array([self._count(row, id) for row, _, id in tokens.tolist()])
        return counts.log_probs(windows, 1, model.prior.orders)

    def _count(self, row: int, id: int) -> Int[np.ndarray, "order"]:
        """A row's last characters, with one more."""
        window = self.windows[row]
        window[:-1] = window[1:]
        window[-1:] = id
        return window.copy()

    def draw(
        self, draws: Sequence[Draw], logits: Float[np.ndarray, "n V"], unread: bool
    ) -> tuple[Int[np.ndarray, "R 1"], Bool[np.ndarray, "R 1"]]:
        """Draw a character for each row."""
        if unread:
            tokens = np.array([(draw.row, draw.position, draw.id) for draw in draws])
            self.read(tokens, np.arange(len(draws)), logits)
        return draw_each(draws, logits, self.room)

    def at_once(self, rows: int) -> int:
        """How many characters to write before looking around."""
        return 1

    def copy(self, row: int, other: "TorchCache", other_row: int) -> None:
        """A row goes on from where a row of another cache of this model is."""
        self.kept.copy(row, other.kept, other_row)
        self.windows[row] = other.windows[other_row]
