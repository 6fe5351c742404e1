"""KV cache: the keys and values of what was read, kept so that a new character costs one step and not a whole pass.

k, v of T new characters ──append──▶ k, v of all characters seen
    (B K T D)                           (B K seen D)
"""

import torch
from jaxtyping import Float
from torch import Tensor

from letterwise.config import ModelConfig


class LayerCache:
    """One layer's keys and values, in memory that is taken once: (2, B, K, block_size, D)."""

    def __init__(self, config: ModelConfig, batch: int, like: Tensor) -> None:
        self.held = like.new_empty(2, batch, config.kv_heads, config.block_size, config.head_dim)
        self.seen = 0

    def append(
        self, k: Float[Tensor, "B K T D"], v: Float[Tensor, "B K T D"]
    ) -> tuple[Float[Tensor, "B K S D"], Float[Tensor, "B K S D"]]:
        """Add the newest keys and values; give back all S = seen of them, as views."""
        start, self.seen = self.seen, self.seen + k.size(2)
        self.held[0, :, :, start : self.seen] = k
        self.held[1, :, :, start : self.seen] = v
        keys, values = self.held[:, :, :, : self.seen]
        return keys, values


class KVCache:
    """The caches of all layers. A full context cannot be appended to: `Engine` owns the policy for that."""

    def __init__(self, config: ModelConfig, batch: int = 1, like: Tensor | None = None) -> None:
        like = torch.empty(0) if like is None else like
        self.layers = [LayerCache(config, batch, like) for _ in range(config.n_layer)]

    @property
    def seen(self) -> int:
        """How many characters are held."""
        return self.layers[0].seen if self.layers else 0

    def truncate(self, seen: int) -> None:
        """Forget all but the first `seen` characters."""
        for layer in self.layers:
            layer.seen = seen
