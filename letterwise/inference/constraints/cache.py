"""Cache: the constraints that were compiled for a model. What compiles them is loaded with the first one.

(vocabulary, limits) ──constraint_for──▶ normalize ▶ Constraint, or the one that is kept
"""

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from letterwise.data.vocabulary import Vocabulary
from letterwise.inference.constraints.limits import Limits

if TYPE_CHECKING:
    from letterwise.inference.constraints.constraint import Constraint

Compile = Callable[[Vocabulary, Limits], "Constraint"]


def compile_constraint(vocabulary: Vocabulary, limits: Limits) -> "Constraint":
    """A new one. Raises `UserError` when no text can match."""
    from letterwise.inference.constraints.constraint import Constraint

    return Constraint(vocabulary, limits)


def constraint_cache() -> Compile:
    """What compiles constraints for a model, which owns it: the last ones are kept, and go when the model goes."""
    return functools.lru_cache(maxsize=16)(compile_constraint)


def constraint_for(vocabulary: Vocabulary, limits: Limits, compiled: Compile = compile_constraint) -> "Constraint":
    """The constraint of these limits, from a `constraint_cache`."""
    from letterwise.inference.constraints.normalize import normalized

    return compiled(vocabulary, replace(normalized(limits), max_seconds=math.inf))
