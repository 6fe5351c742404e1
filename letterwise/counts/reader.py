"""Reader: counts, one character at a time.

    read(id) ──▶ ln p (K, V+1) of what comes next        the same as `Counts.log_probs`, at the cost of a few short rows

The state is where the last 0, 1, 2, … characters stand in the trie; each new character takes each of them one level up.
"""

import numpy as np

from letterwise.counts.kneser_ney import Counts


class Reader:
    """One text being read. `orders` is K: how many of the longest orders are told apart."""

    def __init__(self, counts: Counts, orders: int = 1) -> None:
        self.counts, self.ladder, self.orders = counts, counts.ladder, orders
        self.rows = [0]  # rows[j]: the context of the last j characters, as far as the text ever had it

    def read(self, token: int) -> np.ndarray:
        """Read one more character: ln p (K, V+1), float32, the escapes last."""
        grown = [0]
        for level, row in zip(self.counts.levels[:-1], self.rows, strict=False):
            begin, end = level.starts[row], level.starts[row + 1]
            place = begin + np.searchsorted(level.characters[begin:end], token)
            if place == end or level.characters[place] != token:
                break
            grown.append(place)
        self.rows = grown
        silent = len(self.ladder.rungs) - self.orders
        each = np.ones((self.orders, self.ladder.vocab_size + 1), np.float32)
        for j, rung in enumerate(self.ladder.rungs):
            if j < len(grown):
                row = grown[j]
                if j < len(self.ladder.dense):
                    told = self.ladder.dense[j][row].copy()
                else:
                    entries = slice(rung.starts[row], rung.starts[row + 1])
                    told *= rung.backoff[row]
                    told[rung.characters[entries]] += rung.weights[entries]
            if j >= silent:
                each[j - silent, :-1] = told
                each[j - silent, -1] = rung.backoff[row] if j < len(grown) else 1.0
        return np.log(each, out=each)
