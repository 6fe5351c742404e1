"""Batches: windows of a text, as inputs and the targets that follow them.

ids (N,) ──at(step)──▶ inputs, targets (B, T)     random windows, a function of (seed, step)
ids (N,) ──sweep────▶ every character once        windows side by side, in order
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from letterwise.errors import UserError

WORDS = 4  # Philox gives four random words per count; the first places a sample


class Windows(NamedTuple):
    """Stretches of a text: where each begins (B,), and its inputs and targets, int64 (B, T)."""

    starts: np.ndarray
    inputs: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True)
class Batches:
    """Training batches. Sample n has the same window whatever the batch size, and however often the run was resumed."""

    ids: np.ndarray
    block_size: int
    batch_size: int
    seed: int

    def at(self, step: int) -> Windows:
        """The windows of a step: samples step·B … step·B + B - 1.

        Starts are uniform over all windows: a counter-based generator (Philox, Salmon et al. 2011) counts samples.
        """
        random = np.random.Philox(key=self.seed)
        random.advance(step * self.batch_size)
        starts = random.random_raw(WORDS * self.batch_size)[::WORDS] % np.uint64(len(self.ids) - self.block_size)
        return _windows(self.ids, starts.astype(np.int64), self.block_size)


def sweep(
    ids: np.ndarray, block_size: int, batch_size: int, *, overlap: int = 0, every: int = 1
) -> Iterator[tuple[Windows, int]]:
    """Each character but the first as a target exactly once: windows, and how many of their targets to skip.

    A window's first `skip` targets belong to the window before. Windows overlap by `overlap`; the first window, and a
    shorter last one, come alone. `every` takes each so-manieth window only.
    """
    if len(ids) < 2:
        return
    starts = np.arange(0, max(1, len(ids) - 1 - overlap), block_size - overlap)[::every]
    full = starts + block_size < len(ids)
    groups = [starts[:1][full[:1]]]
    rest = starts[1:][full[1:]]
    groups += [rest[i : i + batch_size] for i in range(0, len(rest), batch_size)]
    for group in groups:
        if len(group):
            yield _windows(ids, group, block_size), overlap if group[0] else 0
    for start in starts[~full]:
        yield _windows(ids, np.array([start]), len(ids) - 1 - start), overlap if start else 0


def require(ids: np.ndarray, block_size: int, part: str) -> None:
    """Raises `UserError` when a part is too short for one window and its target."""
    if len(ids) < block_size + 1:
        raise UserError(
            f"the {part} part has {len(ids)} characters and needs {block_size + 1} (block_size + 1): "
            "add text, or lower --block_size or --val_fraction."
        )


def _windows(ids: np.ndarray, starts: np.ndarray, length: int) -> Windows:
    windows = ids[starts[:, None] + np.arange(length + 1)].astype(np.int64)
    return Windows(starts, windows[:, :-1], windows[:, 1:])
