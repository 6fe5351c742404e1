"""Batches: windows of a text, as inputs and the targets that follow them.

ids (N,) ──at(step)──▶ inputs, targets (B, T)     random windows, a function of (seed, step)
ids (N,) ──sweep────▶ every character once        windows side by side, in order

Where lines are examples, a window begins at the line break before a line and ends with the line's own; the rest of the row
is padding. A line that is longer than `block_size` is cut into windows that overlap.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from letterwise.errors import UserError

WORDS = 4  # Philox gives four random words per count; the first places a sample
NO_TARGET = -1  # in place of a target: it is another window's, or padding
GROUP = 8  # batches of lines that are drawn together and sorted by length: rows of one batch need little padding


class Windows(NamedTuple):
    """Stretches of a text: where each begins (B,), and its inputs and targets, int64 (B, T); `NO_TARGET` is no target."""

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


@dataclass(frozen=True)
class LineBatches:
    """Training batches of lines, of `batch_size` · `block_size` characters on average. All lines are drawn equally often."""

    ids: np.ndarray
    line_break: int
    block_size: int
    batch_size: int
    seed: int

    @cached_property
    def cuts(self) -> "Cuts":
        """What is drawn from."""
        return cut_lines(self.ids, self.line_break, self.block_size, self.block_size // 2)

    @cached_property
    def drawn(self) -> int:
        """How many windows are drawn together."""
        return max(GROUP, round(GROUP * self.batch_size * self.block_size / float(self.cuts.lengths.mean())))

    def at(self, step: int) -> Windows:
        """The windows of a step: as many characters as the other steps of its group have, in windows of similar length.

        A group is drawn like the samples of `Batches`, ordered by length and cut into batches, which are taken in random order.
        """
        group, turn = divmod(step, GROUP)
        random = np.random.Philox(key=self.seed)
        random.advance(group * self.drawn)
        words = random.random_raw(WORDS * self.drawn).reshape(self.drawn, WORDS)
        which = (words[:, 0] % np.uint64(len(self.cuts.starts))).astype(np.int64)
        which = which[np.argsort(self.cuts.lengths[which], kind="stable")]
        chars = np.cumsum(self.cuts.lengths[which])
        every = np.arange(GROUP + 1)
        edges = np.searchsorted(chars, chars[-1] * every / GROUP)
        edges = np.maximum.accumulate(edges - every) + every  # at least one window in each
        edges = np.minimum(edges, self.drawn - GROUP + every)
        edges[-1] = self.drawn
        batch = int(np.argsort(words[:GROUP, 1])[turn])
        mine = which[edges[batch] : edges[batch + 1]]
        return _padded(self.ids, self.cuts.starts[mine], self.cuts.lengths[mine])


class Cuts(NamedTuple):
    """Lines as windows, in the text's order: starts, numbers of targets, how many of them the window before has; all (n,)."""

    starts: np.ndarray
    lengths: np.ndarray
    skips: np.ndarray


def cut_lines(ids: np.ndarray, line_break: int, block_size: int, overlap: int) -> Cuts:
    """Each line of `ids` (N,), from the line break before it on. A long one is cut like a text of its own."""
    begins = np.flatnonzero(ids[:-1] == line_break)
    if not len(begins) or begins[0]:
        begins = np.concatenate(([0], begins))
    lengths, step = np.diff(begins, append=len(ids) - 1), block_size - overlap
    windows = 1 + np.maximum(0, -(-(lengths - block_size) // step))
    nth = np.arange(windows.sum()) - np.repeat(np.cumsum(windows) - windows, windows)
    left = np.repeat(lengths, windows) - nth * step
    return Cuts(np.repeat(begins, windows) + nth * step, np.minimum(left, block_size), np.where(nth > 0, overlap, 0))


def cut(ids: np.ndarray, block_size: int, overlap: int, line_break: int | None = None) -> Cuts:
    """All windows of `ids` (N,), which have each character but the first as a target once: of a text, or of its lines."""
    if line_break is not None:
        return cut_lines(ids, line_break, block_size, overlap)
    starts = np.arange(0, max(1, len(ids) - 1 - overlap), block_size - overlap)
    return Cuts(starts, np.minimum(block_size, len(ids) - 1 - starts), np.where(starts > 0, overlap, 0))


def sweep(
    ids: np.ndarray, block_size: int, batch_size: int, *, overlap: int = 0, every: int = 1, line_break: int | None = None
) -> Iterator[list[Windows]]:
    """Each character but the first as a target exactly once, in the order of the text: a few batches of windows at a time.

    Windows overlap by `overlap`, and what the one before has predicted is no target. The first window, and a shorter last one,
    come alone. Only every `every`-th window is taken. With a line break, windows are lines, and those of a few batches are
    grouped by length.
    """
    if len(ids) < 2:
        return
    if line_break is not None:
        cuts = Cuts(*(part[::every] for part in cut_lines(ids, line_break, block_size, overlap)))
        stretch = np.cumsum(cuts.lengths) // (GROUP * batch_size * block_size)
        for mine in np.split(np.arange(len(stretch)), np.flatnonzero(np.diff(stretch)) + 1):
            left, together = mine[np.argsort(-cuts.lengths[mine], kind="stable")], list[Windows]()
            room = min(batch_size * block_size, max(block_size, cuts.lengths[mine].sum() // GROUP))
            while len(left):
                now, left = np.split(left, [room // cuts.lengths[left[0]]])
                together.append(_padded(ids, cuts.starts[now], cuts.lengths[now], cuts.skips[now]))
            yield together
        return
    starts = np.arange(0, max(1, len(ids) - 1 - overlap), block_size - overlap)[::every]
    full = starts + block_size < len(ids)
    groups = [starts[:1][full[:1]]]
    rest = starts[1:][full[1:]]
    groups += [rest[i : i + batch_size] for i in range(0, len(rest), batch_size)]
    for group in [*groups, *(np.array([start]) for start in starts[~full])]:
        if len(group):
            starts, inputs, targets = _windows(ids, group, min(block_size, len(ids) - 1 - int(group[0])))
            fresh = np.arange(targets.shape[1]) >= (overlap if group[0] else 0)
            yield [Windows(starts, inputs, np.where(fresh, targets, NO_TARGET))]


def require_window(ids: np.ndarray, block_size: int) -> None:
    """Raises `UserError` when the training part is too short for one window and its target."""
    if len(ids) < block_size + 1:
        raise UserError(
            f"the training part has {len(ids)} characters and needs {block_size + 1} (block_size + 1): "
            "add text, or lower --block_size or --val_fraction."
        )


def _windows(ids: np.ndarray, starts: np.ndarray, length: int) -> Windows:
    windows = ids[starts[:, None] + np.arange(length + 1)].astype(np.int64)
    return Windows(starts, windows[:, :-1], windows[:, 1:])


def _padded(ids: np.ndarray, starts: np.ndarray, lengths: np.ndarray, skips: np.ndarray | None = None) -> Windows:
    """Windows of several lengths, padded with what follows, which is no target; nor are the first `skips` of each."""
    place = np.arange(int(lengths.max()) + 1)
    windows = ids[np.minimum(starts[:, None] + place, len(ids) - 1)].astype(np.int64)
    inside = place[:-1] < lengths[:, None]
    if skips is not None:
        inside &= place[:-1] >= skips[:, None]
    return Windows(starts, windows[:, :-1], np.where(inside, windows[:, 1:], NO_TARGET))
