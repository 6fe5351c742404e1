"""Guide: keeps one text inside a language while it is written. What generation asks of it, however it knows.

allowed() (V,) ──▶ a character is drawn ──advance(id)──▶ allowed() (V,) ──▶ … ──▶ is_accepting()
"""

from typing import Protocol, runtime_checkable

import numpy as np

from letterwise.shapes import Bool


@runtime_checkable
class Guide(Protocol):
    """The state of one text: what may follow, and what would complete it."""

    def fork(self) -> "Guide":
        """A copy that goes its own way from here."""
        ...

    def allowed(self) -> Bool[np.ndarray, "V"]:
        """Which characters may follow (V,). `advance` may still refuse one of them."""
        ...

    def is_accepting(self) -> bool:
        """Does the text match as it stands?"""
        ...

    def is_finished(self) -> bool:
        """Does the text match, and can nothing follow?"""
        ...

    def advance(self, id: int) -> bool:
        """Read an allowed character. False, and nothing is changed, when no way is known from there to an end."""
        ...

    def step_to_end(self) -> int:
        """Read one character on the known way to the end, and return it."""
        ...

    def completion(self) -> list[int]:
        """Ids that complete the text. Raises `UserError` when none are found."""
        ...
