"""Guide: leads one text so that it matches. What writing asks of it, whichever way it knows (walk.py, engine_guide.py)."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool


@runtime_checkable
class Guide(Protocol):
    """A text on its way: what may follow, and what would complete it."""

    def fork(self) -> "Guide":
        """Another text that goes its own way from here."""
        ...

    def allowed(self) -> Bool[np.ndarray, "V"]:
        """Which characters may follow (V,), before `advance` has looked at where they lead."""
        ...

    def is_accepting(self) -> bool:
        """Is the text whole?"""
        ...

    def is_finished(self) -> bool:
        """Is the text whole, and can nothing follow?"""
        ...

    def advance(self, id: int) -> bool:
        """Go on by a character that is allowed; False, and nothing is done, when no way is known from there to an end."""
        ...

    def step_to_end(self) -> int:
        """One step on the known way to the end."""
        ...

    def completion(self) -> list[int]:
        """Ids that complete the text, now that there is no more time. Raises `UserError` when none are found."""
        ...
