"""Reader: counts, one character at a time.

    read(id) ──▶ ln p (V,) of what comes next        the same as `Counts.log_probs`, at the cost of a few short rows

The state is where the last 0, 1, 2, … characters stand in the trie; each new character takes each of them one level up.
"""

import numpy as np

from letterwise.counts.kneser_ney import Counts


class Reader:
    """One text being read."""

    def __init__(self, counts: Counts) -> None:
        self.counts, self.ladder = counts, counts.ladder
        self.rows = [0]  # rows[j]: the context of the last j characters, as far as the text ever had it

    def read(self, token: int) -> np.ndarray:
        """Read one more character: ln p (V,), float32."""
        grown = [0]
        for level, row in zip(self.counts.levels[:-1], self.rows, strict=False):
            begin, end = level.starts[row], level.starts[row + 1]
            place = begin + np.searchsorted(level.characters[begin:end], token)
            if place == end or level.characters[place] != token:
                break
            grown.append(place)
        self.rows = grown
        dense = min(len(grown), len(self.ladder.dense)) - 1
        told = self.ladder.dense[dense][grown[dense]].copy()
        for j in range(dense + 1, len(grown)):
            rung, row = self.ladder.rungs[j], grown[j]
            entries = slice(rung.starts[row], rung.starts[row + 1])
            told *= rung.backoff[row]
            told[rung.characters[entries]] += rung.weights[entries]
        return np.log(told, out=told)
