"""On device: a GPU looks up by itself what counts say, in their tables, which are copied to it once.

windows of the text ──rows on each level──▶ entries of these rows ──added to the level below──▶ ln p (B, T, K, V+1)

The same steps as in `ngrams/` (`CrossFitted.log_probs_at`), in PyTorch: a processor takes far longer than a GPU for its whole
step (docs/log.md).
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from letterwise.ngrams.backoff import BackoffModel
from letterwise.ngrams.cross_fit import CrossFitted

KINDS = {"cuda"}  # of devices that do


def moved(array: np.ndarray, device: torch.device) -> Tensor:
    """A copy. Large unsigned numbers become signed: PyTorch can do little with them."""
    signed = array.astype(np.int32) if array.dtype in (np.uint16, np.uint32) else array
    return torch.tensor(signed, device=device)


class DeviceBackoff:
    """The distributions of a back-off model, on a device."""

    def __init__(self, model: BackoffModel, device: torch.device) -> None:
        self.vocab_size, self.dense = model.vocab_size, [moved(level, device) for level in model.dense]
        names = ("lower", "backoff", "starts", "characters", "weights")
        self.levels = [{name: moved(getattr(level, name), device) for name in names} for level in model.levels]

    def log_probs(self, rows_by_level: Sequence[Tensor], orders: int) -> Tensor:
        """As `BackoffModel.distributions`, but ln p: (n, K, V+1)."""
        probs, first = self.dense[0][rows_by_level[0]], len(self.levels) - orders
        each = probs.new_ones(len(probs), orders, self.vocab_size + 1)
        for j, level in enumerate(self.levels):
            there, rows = rows_by_level[j] >= 0, rows_by_level[j].clamp_min(0)
            if j:
                grown = self.dense[j][rows] if j < len(self.dense) else self._interpolated(probs, level, rows, there)
                probs = torch.where(there[:, None], grown, probs)
            if j >= first:
                each[:, j - first, :-1] = probs
                each[:, j - first, -1] = torch.where(there, level["backoff"][rows], 1.0)
        return each.log_()

    def _interpolated(self, lower: Tensor, level: dict[str, Tensor], rows: Tensor, there: Tensor) -> Tensor:
        probs, begins = lower * level["backoff"][rows, None], level["starts"][rows]
        lengths = (level["starts"][rows + 1] - begins) * there
        which = torch.repeat_interleave(lengths)  # its length makes the thread that asks wait, and nobody else
        entries = torch.arange(len(which), device=which.device) + (begins - lengths.cumsum(0) + lengths)[which]
        probs.view(-1)[which * self.vocab_size + level["characters"][entries]] += level["weights"][entries]
        return probs


class DeviceCounts:
    """Cross-fitted counts of a text, on a device."""

    def __init__(self, crossfitted: CrossFitted, orders: int, device: torch.device) -> None:
        counts, self.device, self.contexts = crossfitted.counts, device, crossfitted.contexts
        self.orders = min(orders, counts.order)
        self.ids, self.folds, self.reach = crossfitted.ids, crossfitted.folds, counts.order - 1
        self.smoothed, self.whole = DeviceBackoff(crossfitted.smoothed, device), None
        self.depths, self.top = moved(crossfitted.depths, device), moved(crossfitted.top, device)
        self.uncounted = len(self.ids) - len(crossfitted.top)
        if self.uncounted:
            self.whole = DeviceBackoff(counts.smoothed, device)
            self.keys = [moved(level.keys, device) for level in counts.levels]

    def log_probs_at(self, starts: np.ndarray, length: int) -> Tensor:
        """As `CrossFitted.log_probs_at`, with the K orders that it was made for. Contexts are looked up by the processor."""
        ngrams = self._ngrams(starts, length)
        if not self.contexts:
            return ngrams
        others = np.empty((*ngrams.shape[:2], len(self.contexts.counts.tables) + 1, ngrams.shape[3]), np.float32)
        others[:, :, -1] = ngrams[:, :, -1].cpu().numpy()
        self.contexts.fill(others, self.ids, starts)
        return torch.cat((torch.from_numpy(others[:, :, :-1]).to(self.device), ngrams), dim=2)

    def _ngrams(self, starts: np.ndarray, length: int) -> Tensor:
        """What n-grams say, (B, length, orders, V+1)."""
        shape = (length, self.orders, self.smoothed.vocab_size + 1)
        outside = starts + length < self.uncounted
        inside = self._counted(starts[~outside], length).view(-1, *shape)
        if not outside.any():
            return inside
        log_probs = inside.new_empty(len(starts), *shape)
        log_probs[torch.from_numpy(~outside).to(self.device)] = inside
        log_probs[torch.from_numpy(outside).to(self.device)] = self._uncounted(starts[outside], length).view(-1, *shape)
        return log_probs

    def _counted(self, starts: np.ndarray, length: int) -> Tensor:
        """Places of the text that was counted: by the counts of all other folds."""
        levels, before = self.smoothed.levels, torch.from_numpy(starts - self.uncounted).to(self.device)
        places = (before[:, None] + torch.arange(1, length + 1, device=self.device)).view(-1)
        inside = places.clamp(0, len(self.top) - 1)
        depths, top = self.depths[inside] * (places >= 0), self.top[inside].long()
        rows_by_level = [torch.where(depths == len(levels) - 1, top, -1)]  # from the highest level down
        for j in reversed(range(1, len(levels))):
            above = rows_by_level[-1]
            lower = levels[j]["lower"][above.clamp_min(0)].long()
            rows_by_level.append(torch.where(above >= 0, lower, torch.where(depths == j - 1, top, -1)))
        rows_by_level[-1] = inside * self.folds // len(self.top)
        return self.smoothed.log_probs(rows_by_level[::-1], self.orders)

    def _uncounted(self, starts: np.ndarray, length: int) -> Tensor:
        """By the counts of all folds, as `Counts.log_probs_at`."""
        assert self.whole
        places = starts[:, None] + np.arange(-self.reach, length)
        known = np.where(places >= 0, self.ids[np.clip(places, 0, len(self.ids) - 1)].astype(np.int64), -1)
        ids = torch.from_numpy(known).to(self.device)
        rows = torch.zeros(len(ids), ids.size(1) + 1, dtype=torch.long, device=self.device)
        rows_by_level = [rows[:, -length:].reshape(-1)]
        for keys in self.keys[:-1]:
            wanted = rows[:, :-1] * self.whole.vocab_size + ids
            found = torch.searchsorted(keys, wanted).clamp_max(len(keys) - 1)
            there = (rows[:, :-1] >= 0) & (ids >= 0) & (keys[found] == wanted)
            rows = torch.nn.functional.pad(torch.where(there, found, -1), (1, 0), value=-1)
            rows_by_level.append(rows[:, -length:].reshape(-1))
        return self.whole.log_probs(rows_by_level, self.orders)
