"""Shapes: what an array's axes are, in signatures: `Float[Tensor, "B T V"]`. Tests execute them; nobody else waits for that.

Where jaxtyping is loaded already, as in our tests, they are jaxtyping's. Loading it takes as long as reading a model does, so
elsewhere `Float[np.ndarray, "N V"]` is `np.ndarray`.
"""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool, Float, Int, Integer
else:

    class Shaped:
        """Stands in a signature for an array of any shape."""

        def __class_getitem__(cls, item: tuple[Any, str]) -> Any:
            return item[0]

    Bool = Float = Int = Integer = Shaped

__all__ = ["Bool", "Float", "Int", "Integer"]
