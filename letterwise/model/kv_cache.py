"""KV cache: the keys and values of what was read, kept so that a new character costs one step and not a whole pass.

Each row holds a text, of a length of its own. A step reads B characters, one for each sequence of the model's batch: the next
ones of one text, or of many texts. Whatever else is read in the same step, each sees its own text up to itself.

    q, k, v of B characters ──attend──▶ k, v are kept at (row, position), and q reads its row's, up to its own position ──▶ y
    (B H 1 D) (B K 1 D)                                                                                         (B H 1 D)
"""

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from letterwise.config import ModelConfig
from letterwise.shapes import Float, Int

FUSED, LINE = 512, 16  # keys that the fused kernel takes at once on a CPU; numbers in a line of its cache


class KVCache:
    """The keys and values of some rows, in memory that is taken once: (layers, 2, rows, K, S, D), S at least `block_size`."""

    def __init__(self, config: ModelConfig, rows: int = 1, like: Tensor | None = None) -> None:
        like = torch.empty(0) if like is None else like
        self.block_size = config.block_size
        size, self.asking = fused_shape(config.block_size, config.head_dim, like.device)
        self.held = like.new_zeros(config.n_layer, 2, rows, config.kv_heads, size, config.head_dim)

    def clear(self, row: int) -> None:
        """Another text begins there. What its characters do not see has weight 0, and 0 · NaN would be NaN."""
        self.held[:, :, row] = 0

    def copy(self, row: int, other: "KVCache", other_row: int) -> None:
        """A row goes on from where a row of another cache is."""
        self.held[:, :, row] = other.held[:, :, other_row]

    def step(self, rows: Sequence[int], positions: Sequence[int], batch: int = 0) -> "CacheStep":
        """For characters at these positions of these rows, a row's in their order; a `batch` of more repeats the last one.

        Raises `ValueError` for a position outside the context.
        """
        if max(positions) >= self.block_size:
            raise ValueError(f"position {max(positions)} does not fit a context of {self.block_size}")
        more = max(0, batch - len(rows))
        filled = [*rows, *[rows[-1]] * more], [*positions, *[positions[-1]] * more]
        where = torch.tensor(filled).to(self.held.device)  # one transfer
        n = len(rows) + (more > 0 and len(rows) * self.held.size(3) == 1)  # a lone head would have all threads, and other bits
        return CacheStep(self, where, n, [*runs([*rows, *rows[-1:]][:n])])

    @property
    def nowhere(self) -> int:
        """A position for characters that are not to be seen; one of the context where there is none."""
        return self.held.size(-2) - 1

    def step_of_all(self, positions: Int[Tensor, "B"]) -> "CacheStep":
        """For one character of each row, in their order, or at `nowhere`; what comes behind these is not kept.

        The shapes are always the same, and nothing is asked of the device: so it can be recorded.
        """
        rows = self.held.size(2)
        where = torch.stack((torch.arange(len(positions), device=positions.device), positions))
        step = CacheStep(self, where, rows, [(slice(0, rows), slice(0, rows))])
        step.positions = step.positions.clamp_max(self.block_size - 1)
        return step


class CacheStep:
    """One step through all layers. `positions` (B, 1) is where each character stands; the first n are kept, and see."""

    def __init__(self, cache: KVCache, where: Int[Tensor, "2 B"], n: int, reads: list[tuple[slice, slice]]) -> None:
        held, self.positions = cache.held, where[1, :, None]
        unseen = torch.arange(held.size(-2), device=held.device) > self.positions[:n]
        mask = torch.zeros_like(unseen, dtype=held.dtype).masked_fill_(unseen, -torch.inf)[:, None, None]  # (n 1 1 S)
        self.layers = [LayerCache(layer, where[0, :n], where[1, :n], mask, reads, cache.asking) for layer in held]


class LayerCache:
    """One layer's keys and values (2, rows, K, S, D) in a step that reads n characters at these rows and positions."""

    def __init__(
        self,
        held: Float[Tensor, "2 rows K S D"],
        rows: Int[Tensor, "n"],
        positions: Int[Tensor, "n"],
        mask: Float[Tensor, "n 1 1 S"],
        reads: list[tuple[slice, slice]],
        asking: int,
    ) -> None:
        self.keys, self.values = held
        self.rows, self.positions, self.mask, self.reads, self.asking = rows, positions, mask, reads, asking

    def attend(
        self, q: Float[Tensor, "B H 1 D"], k: Float[Tensor, "B K 1 D"], v: Float[Tensor, "B K 1 D"]
    ) -> Float[Tensor, "B H 1 D"]:
        """Keep the keys and values; then softmax(q·kᵀ / √D) · v over each row, up to the character's own position."""
        n, group = len(self.rows), q.size(1) // k.size(1)
        self.keys[self.rows, :, self.positions] = k[:n, :, 0]
        self.values[self.rows, :, self.positions] = v[:n, :, 0]
        q = q.view(len(q), k.size(1), group, q.size(-1))  # (B K H/K D): heads that share a key ask for it together
        y = torch.zeros_like(q)
        if group % self.asking:
            q = F.pad(q, (0, 0, 0, -group % self.asking))
        for which, rows in self.reads:
            shape = (which.stop - which.start, -1, -1, -1)
            keys, values = self.keys[rows].expand(shape), self.values[rows].expand(shape)
            y[which] = F.scaled_dot_product_attention(q[which], keys, values, self.mask[which])[:, :, :group]
        return y.flatten(1, 2).unsqueeze(2)


def fused_shape(block_size: int, head_dim: int, device: torch.device) -> tuple[int, int]:
    """S, and of what the number of queries has to be a multiple, so that the same text always gives the same bits.

    On a CPU each thread of PyTorch's fused kernel works in memory of queries · (S + D + 2) numbers, one behind the other. If
    these are not whole lines, what a thread finds differs in the last bits from what its neighbour does.
    """
    if device.type != "cpu":
        return (block_size // 8 + 1) * 8, 1  # one more at least: for `nowhere`
    size = block_size + -(block_size + head_dim + 2) % LINE
    return (size, 1) if size <= FUSED else (block_size, LINE // math.gcd(LINE, min(block_size, FUSED) + head_dim + 2))


def runs(rows: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """Characters one after another that read one row, or a row each, one after another: which ones, and these rows.

    Their keys need not be copied: they stand in memory as they are read.
    """
    first = 0
    while first < len(rows):
        end, step = first + 1, 0
        if end < len(rows) and rows[end] - rows[first] in (0, 1):
            step = rows[end] - rows[first]
            while end < len(rows) and rows[end] - rows[end - 1] == step:
                end += 1
        yield slice(first, end), slice(rows[first], rows[end - 1] + 1)
        first = end
