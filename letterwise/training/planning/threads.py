"""Threads: how many a run by the clock steps with, while other programs come and go.

    seconds of each step ──▶ ThreadChoice ──▶ torch.set_num_threads, and a sentence the first time

The threads of a step wait for each other many times. Where another program has one of their processors, all of them wait for
it, and fewer threads are faster. So when steps become slow, half as many threads are tried for a moment; when there are fewer
than there could be, twice as many. What is faster stays. Sums are then added up in another order: so only runs measured in
minutes do this, whose steps depend on the clock anyway.
"""

from collections.abc import Callable

import torch

from letterwise.progress import Note

WINDOW_S, WINDOW_STEPS = 0.5, 4  # a measurement's minimum, in seconds and in steps
SLOW = 1.4  # times the fastest measurement: something has changed
REST_S, MAX_REST_S = 8.0, 64.0  # between two trials: longer each time that one brought nothing
BETTER = 0.95  # of the usual time of a step: less is worth a change


class ThreadChoice:
    """Takes the time of steps; changes the number of threads."""

    def __init__(self, max_threads: int, note: Note, apply: Callable[[int], None] = torch.set_num_threads) -> None:
        """`max_threads` to begin with, and never more."""
        self.max_threads, self.usual, self.trying = max_threads, max_threads, 0
        self.note, self.apply = note, apply
        self.fastest: dict[int, float] = {}  # seconds of a step, by threads
        self.usual_s, self.rest_s, self.rested_s = 0.0, REST_S, REST_S
        self.steps, self.seconds, self.noted = 0, 0.0, False

    def took(self, seconds: float) -> None:
        """A step took `seconds`."""
        self.steps, self.seconds, self.rested_s = self.steps + 1, self.seconds + seconds, self.rested_s + seconds
        if self.steps < WINDOW_STEPS or self.seconds < WINDOW_S:
            return
        step_s, self.steps, self.seconds = self.seconds / self.steps, 0, 0.0
        now = self.trying or self.usual
        known, self.fastest[now] = now in self.fastest, min(step_s, self.fastest.get(now, step_s))
        if self.trying:
            self._decide(step_s)
        elif known:  # the first measurement has the first steps in it, which are slow
            self.usual_s = step_s
            self._try_another()

    def stop(self) -> None:
        """Whoever comes after this run has all threads again."""
        self.apply(self.max_threads)

    def _try_another(self) -> None:
        """Try another number of threads, if it is time to and there is a reason."""
        if self.rested_s < self.rest_s:
            return
        if self.usual < self.max_threads:
            self.trying = min(self.max_threads, 2 * self.usual)
        elif self.usual > 1 and (len(self.fastest) == 1 or self.usual_s > SLOW * self.fastest[self.usual]):
            self.trying = self.usual // 2  # once in any case: the others may have been there from the start
        if self.trying:
            self.apply(self.trying)

    def _decide(self, step_s: float) -> None:
        """Keep what was tried, or go back."""
        tried, self.trying, self.rested_s = self.trying, 0, 0.0
        if step_s >= BETTER * self.usual_s:
            self.rest_s = min(MAX_REST_S, 2 * self.rest_s)
            self.apply(self.usual)
            return
        if tried < self.usual and not self.noted:
            self.noted = True
            self.note(
                f"other programs use the processors: a step takes {step_s:.3g} s with {tried} of {self.usual} threads, and "
                f"{self.usual_s:.3g} s with all. Going on with what is faster, and looking again now and then."
            )
        further = tried // 2 if tried < self.usual else 2 * tried  # where this way was better, further on may be better still
        self.usual, self.usual_s, self.rest_s = tried, step_s, REST_S
        if 1 <= further <= self.max_threads:
            self.trying = further
            self.apply(further)
