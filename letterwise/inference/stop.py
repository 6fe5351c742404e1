"""Stop: text goes in as it is written, and comes out up to where it ends.

pieces ──▶ StopFinder ──▶ pieces, cut before the first stop string or after the first line
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass
class StopFinder:
    """Lets text pass until one of several strings is complete; never lets go of what may still become one.

    `found` says what ended the text: "stop", "line" (with `until_line`, at the first line break, which still passes), or "".
    """

    stops: Sequence[str]
    until_line: bool = False
    held: str = ""
    found: Literal["", "stop", "line"] = field(default="", init=False)

    def feed(self, text: str) -> str:
        """Add text; give back what is certain to stand before any stop string."""
        self.held += text
        ends: list[tuple[int, int, Literal["stop", "line"]]] = []
        ends += [(i + len(stop), i, "stop") for stop in self.stops if (i := self.held.find(stop)) >= 0]
        if self.until_line and (i := self.held.find("\n")) >= 0:
            ends.append((i + 1, i + 1, "line"))
        if ends:
            _, start, self.found = min(ends)  # the one that is complete first; of several, the longest
            passed, self.held = self.held[:start], ""
            return passed
        waiting = max((n for stop in self.stops for n in range(1, len(stop)) if self.held.endswith(stop[:n])), default=0)
        passed, self.held = self.held[: len(self.held) - waiting], self.held[len(self.held) - waiting :]
        return passed

    def finish(self) -> str:
        """What was held back, when no more text comes."""
        passed, self.held = self.held, ""
        return passed
