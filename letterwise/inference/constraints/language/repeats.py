"""Repeats: counted repetition, as the same language with fewer states, for texts of a limited length.

    (a?){3000}a{3000}   ──clipped──▶   a{3000,6000}                 ((a?){50}){50}   ──▶   a{0,2500}

An NFA has a copy of a part for each time that it may come. Where the part may be empty, each copy leads to all behind it, and
where repeats stand in or beside each other, a text can be read in as many ways: both grow with the square of the count.
"""

import math
from collections.abc import Sequence

from letterwise.inference.constraints.language.expression import (
    MAX_PARTS,
    NOTHING,
    CharClass,
    Choice,
    Concat,
    Expression,
    Repeat,
    TooLarge,
    min_length,
    nullable,
    size,
    transformed,
)


def clipped(expression: Expression, max_chars: int) -> Expression:
    """The same language for texts of at most `max_chars`: counts beyond that become unbounded, or impossible.

    Raises `TooLarge`.
    """

    def clip(node: Expression) -> Expression:
        match node:
            case Repeat(part, minimum, maximum):
                return repeated(part, minimum, maximum, max_chars)
            case Concat(parts):
                joined = neighbours_joined(parts, max_chars)
                return joined[0] if len(joined) == 1 else Concat(tuple(joined))
        return node

    if size(expression) > MAX_PARTS:
        raise TooLarge
    return transformed(expression, clip)


def repeated(part: Expression, minimum: int, maximum: int | None, max_chars: int) -> Expression:
    """A part so many times, in texts of at most `max_chars`."""
    if maximum is not None and maximum < minimum:
        return NOTHING
    if nullable(part):
        part, minimum = without_empty(part), 0
    if isinstance(part, Repeat) and without_gaps(part, minimum, maximum):
        counts = (part.maximum, maximum)
        maximum = 0 if 0 in counts else None if part.maximum is None or maximum is None else part.maximum * maximum
        part, minimum = part.part, part.minimum * minimum
    if minimum > max_chars and min_length(part) >= 1:
        return NOTHING
    minimum = min(minimum, max_chars + 1)  # of more than that, all but so many are empty
    return Repeat(part, minimum, None if maximum is not None and maximum > max_chars else maximum)


def without_empty(part: Expression) -> Expression:
    """A part that may be empty, without that, where it is easily seen; as one of several in a repeat it means the same."""
    match part:
        case Repeat(inner, 0, maximum):
            return NOTHING if maximum == 0 else Repeat(inner, 1, maximum)
        case Choice(parts):
            left = [without_empty(each) if nullable(each) else each for each in parts if each != Concat(())]
            return left[0] if len(left) == 1 else Choice(tuple(left))
    return part


def without_gaps(inner: Repeat, minimum: int, maximum: int | None) -> bool:
    """Do all counts from the least to the most occur, where a repeat is repeated? (aa){2,3} has no a{5}."""
    most = 0 if not minimum else math.inf if inner.maximum is None else inner.maximum * minimum
    return minimum == maximum or inner.minimum * (minimum + 1) <= most + 1


def neighbours_joined(parts: Sequence[Expression], max_chars: int) -> list[Expression]:
    """Parts in a row, those in a row within them among them, and counts of one character side by side as one count."""
    joined: list[Expression] = []
    for part in (inner for each in parts for inner in (each.parts if isinstance(each, Concat) else (each,))):
        last = joined[-1] if joined else None
        if (Repeat in (type(last), type(part))) and (one := counted(last)) and (other := counted(part)) and one[0] == other[0]:
            maximum = None if one[2] is None or other[2] is None else one[2] + other[2]
            joined[-1] = repeated(one[0], one[1] + other[1], maximum, max_chars)
        else:
            joined.append(part)
    return joined


def counted(part: Expression | None) -> tuple[CharClass, int, int | None] | None:
    """A character, and how often it comes at least and at most; None for what is more than one character."""
    match part:
        case CharClass():
            return part, 1, 1
        case Repeat(CharClass() as character, minimum, maximum):
            return character, minimum, maximum
    return None
