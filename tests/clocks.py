"""A clock of a test's own: how busy the machine is, and how fast, does not matter."""

import threading


class Ticking:
    """In the place of `time.monotonic`: at each look of the main thread, `step_s` more have passed.

    To other threads, which may be left over from other tests, it stands still. `looks`: how often it was looked at.
    """

    def __init__(self, step_s: float = 0.01, begun: float = 0.0) -> None:
        self.step_s, self.begun, self.looks = step_s, begun, 0

    def __call__(self) -> float:
        now = self.begun + self.looks * self.step_s
        if threading.current_thread() is threading.main_thread():
            self.looks += 1
        return now
