"""Numbers: decimal numbers between two bounds, as an expression.

    integer((5, False), (12, False)) ──▶ [5-9] | 1[0-2]        number((0.5, True), None) ──▶ 0.5…1 | 0.[6-9]… | [1-9]…

Numbers are written as JSON's grammar has them (RFC 8259 §6): minus, integer part, fraction, exponent. Bounds are exact
decimals, as they stand in the schema: 0.1 is a tenth. A number with a bound is written without exponent.
"""

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from fractions import Fraction

from letterwise.inference.constraints.language.expression import (
    DIGIT,
    EMPTY,
    NOTHING,
    Automaton,
    CharClass,
    Choice,
    Concat,
    Expression,
    Repeat,
    TooLarge,
    Unsupported,
    literal,
)
from letterwise.inference.constraints.language.product import product

Bound = tuple[Decimal, bool]  # and whether the bound itself is excluded
MAX_DIGITS = 60  # of a bound
MAX_REMAINDERS = 2_000  # states of an automaton of all multiples; where there are more, some multiples are listed:
MAX_MULTIPLES, MAX_LISTED_DIGITS = 1_000, 10_000  # so many, of so many digits in all

DIGITS = Repeat(DIGIT, 0, None)
MINUS = Repeat(CharClass("-"), 0, 1)
INTEGER_PART = Choice((CharClass("0"), Concat((CharClass("[1-9]"), DIGITS))))
FRACTION = Repeat(Concat((CharClass(r"\."), Repeat(DIGIT, 1, None))), 0, 1)
EXPONENT = Repeat(Concat((CharClass("[Ee]"), Repeat(CharClass("[-+]"), 0, 1), Repeat(DIGIT, 1, None))), 0, 1)


def integer(low: Bound | None, high: Bound | None) -> Expression:
    """Integers between two bounds (None: no bound)."""
    minimum, maximum = _rounded(low, ROUND_CEILING), _rounded(high, ROUND_FLOOR)
    minimum = minimum + 1 if minimum is not None and low == (minimum, True) else minimum
    maximum = maximum - 1 if maximum is not None and high == (maximum, True) else maximum
    positive = NOTHING if maximum is not None and maximum < 0 else _between(max(0, minimum or 0), maximum)
    if minimum is not None and minimum >= 0:
        return positive
    nearest = 0 if (minimum is None) == (maximum is None) else 1  # -0 where llguidance lets it through, too
    negative = _between(max(nearest, -(maximum or 0)), None if minimum is None else -minimum)
    return Choice((positive, Concat((CharClass("-"), negative))))


def number(low: Bound | None, high: Bound | None) -> Expression:
    """Numbers between two bounds (None: no bound)."""
    if low is None and high is None:
        return Concat((MINUS, INTEGER_PART, FRACTION, EXPONENT))
    for bound in (low, high):
        _rounded(bound, ROUND_FLOOR)  # has it too many digits?
    zero = (Decimal(0), False)
    positive = NOTHING if high and high < zero else _unsigned(max(low or zero, zero), high)
    if low and low[0] >= 0:
        return positive
    mirrored_low, mirrored_high = None if high is None else (-high[0], high[1]), None if low is None else (-low[0], low[1])
    return Choice((positive, Concat((CharClass("-"), _unsigned(max(mirrored_low or zero, zero), mirrored_high)))))


def multiple(step: Decimal, integers: bool, low: Bound | None, high: Bound | None) -> Expression:
    """Multiples of a number above 0 between two bounds, without exponent; `integers`: in digits alone.

    Where the remainders are too many for an automaton: only the multiples nearest to 0.
    """
    exponent = int(step.as_tuple().exponent)
    places = max(0, -exponent)
    divisor = int("".join(map(str, step.as_tuple().digits))) * 10 ** max(0, exponent)  # step = divisor / 10^places
    between = integer(low, high) if integers else number(low, high)
    if divisor * (places + 2) <= MAX_REMAINDERS:
        try:
            return product(between, _multiples(divisor, places))
        except TooLarge:  # then not all of them
            pass
    return _nearest_multiples(Fraction(divisor, 10**places), integers, low, high)


def _multiples(divisor: int, places: int) -> Automaton:
    """Decimal numbers that are multiples of divisor / 10^places: a state knows remainder and digits behind the point."""
    states = [(r, -1) for r in range(divisor)] + [(r, behind) for behind in range(places + 1) for r in range(divisor)]
    numbers = {state: number for number, state in enumerate(states)}
    transitions: list[tuple[tuple[Expression, int], ...]] = []
    for remainder, behind in states:  # -1: the point is not yet written
        digits = range(10) if behind < places else (0,)  # what is behind the last place must not add to it
        next_behind = behind if behind in (-1, places) else behind + 1
        moves: list[tuple[Expression, int]] = []
        for digit in digits:
            next_remainder = (10 * remainder + digit) % divisor if behind < places else remainder
            moves.append((CharClass(str(digit)), numbers[next_remainder, next_behind]))
        if behind == -1:
            moves.append((CharClass(r"\."), numbers[remainder, 0]))
        if (remainder, behind) == (0, -1):
            moves.append((CharClass("-"), 0))
        transitions.append(tuple(moves))
    accepting = (n for (r, behind), n in numbers.items() if r * 10 ** (places - max(0, behind)) % divisor == 0)
    return Automaton(tuple(transitions), frozenset(accepting))


def _nearest_multiples(step: Fraction, integers: bool, low: Bound | None, high: Bound | None) -> Expression:
    """The multiples nearest to 0, in digits."""
    step = Fraction(step.numerator) if integers else step  # the smallest multiple that is an integer
    first = -math.inf if low is None else math.ceil(Fraction(low[0]) / step) + (low[1] and Fraction(low[0]) % step == 0)
    last = math.inf if high is None else math.floor(Fraction(high[0]) / step) - (high[1] and Fraction(high[0]) % step == 0)
    if first > last:
        return NOTHING
    nearest = max(first, min(0, last))
    length = len(_digits(int(max(1, abs(nearest))) * step))
    n = max(1, min(MAX_MULTIPLES, MAX_LISTED_DIGITS // length))
    begin = int(max(first, nearest - n // 2))
    return Choice(tuple(literal(_digits(k * step)) for k in range(begin, int(min(last, begin + n - 1)) + 1)))


def _digits(value: Fraction) -> str:
    """A decimal number, without zeros at its end."""
    places = 0
    while (value * 10**places).denominator > 1:
        places += 1
    text = f"{abs(int(value * 10**places)):0{places + 1}d}"
    integer_part, fraction = text[: len(text) - places], text[len(text) - places :]
    return "-" * (value < 0) + integer_part + ("." + fraction if fraction else "")


def _rounded(bound: Bound | None, rounding: str) -> int | None:
    """A bound as an integer. Raises `Unsupported` where it has too many digits."""
    if bound is None:
        return None
    if not bound[0].is_finite() or len(format(bound[0], "f")) > MAX_DIGITS + 2:
        raise Unsupported("a bound of so many digits")
    return int(bound[0].to_integral_value(rounding))


def _unsigned(low: Bound, high: Bound | None) -> Expression:
    """Numbers between two bounds that are 0 or more."""
    (int_low, fraction_low), (int_high, fraction_high) = _split(low[0]), _split(high[0]) if high else (None, "")
    if high and (high[0] < low[0] or (high[0] == low[0] and (low[1] or high[1]))):
        return NOTHING
    first, last = _between(int_low, int_low), None if int_high is None else _between(int_high, int_high)
    if last and high and int_low == int_high:
        return Concat((first, _fraction(fraction_low, low[1], fraction_high, high[1])))
    choices = [Concat((first, _fraction(fraction_low, low[1], None, False)))]
    if int_high is None or int_high - int_low > 1:
        choices.append(Concat((_between(int_low + 1, None if int_high is None else int_high - 1), FRACTION)))
    if last and high:
        choices.append(Concat((last, _fraction("", False, fraction_high, high[1]))))
    return Choice(tuple(choices))


def _split(bound: Decimal) -> tuple[int, str]:
    """The integer part, and the digits behind the point up to the last that is not 0."""
    integer_part, _, digits = format(bound, "f").partition(".")
    return int(integer_part), digits.rstrip("0")


def _fraction(low: str, low_open: bool, high: str | None, high_open: bool) -> Expression:
    """A fraction between two, given as digits behind the point (None: up to 1). No fraction at all is 0."""
    none = [EMPTY] if not low and not low_open and (high or high is None or not high_open) else []
    return Choice((*none, Concat((CharClass(r"\."), _more_digits(low, low_open, high, high_open, False)))))


def _more_digits(low: str, low_open: bool, high: str | None, high_open: bool, may_stop: bool) -> Expression:
    """Digits behind some that are equal to both bounds' so far. With `may_stop` there may be none."""
    none_fits = not low and not low_open and (high is None or bool(high) or not high_open)
    if high is None and none_fits:
        return Repeat(DIGIT, 0 if may_stop else 1, None)
    if high == "":
        return Repeat(CharClass("0"), 0 if may_stop else 1, None) if none_fits else NOTHING
    if high is None and not low:
        return Concat((Repeat(CharClass("0"), 0, None), CharClass("[1-9]"), DIGITS))
    first, last = int(low[:1] or 0), 9 if high is None else int(high[:1])
    choices: list[Expression] = [EMPTY] if may_stop and none_fits else []
    if first == last and high is not None:
        choices.append(Concat((CharClass(str(first)), _more_digits(low[1:], low_open, high[1:], high_open, True))))
    elif first <= last:
        choices.append(Concat((CharClass(str(first)), _more_digits(low[1:], low_open, None, False, True))))
        top = last if high is None else last - 1
        if top > first:
            choices.append(Concat((CharClass(f"[{first + 1}-{top}]"), DIGITS)))
        if high is not None:
            choices.append(Concat((CharClass(str(last)), _more_digits("", False, high[1:], high_open, True))))
    return Choice(tuple(choices))


def _between(minimum: int, maximum: int | None) -> Expression:
    """Integers from 0 on between two."""
    if maximum is None:
        power = 10 ** len(str(minimum))
        longer = Concat((CharClass("[1-9]"), Repeat(DIGIT, len(str(minimum)), None)))
        return Choice((_between(minimum, power - 1), longer))
    if minimum > maximum:
        return NOTHING
    if len(str(minimum)) < len(str(maximum)):
        power = 10 ** len(str(minimum))
        return Choice((_between(minimum, power - 1), _between(power, maximum)))
    return _same_length(str(minimum), str(maximum))


def _same_length(minimum: str, maximum: str) -> Expression:
    """Strings of as many digits as both, between them in alphabetical order."""
    if minimum == "0" * len(minimum) and maximum == "9" * len(maximum):
        return Repeat(DIGIT, len(minimum), len(minimum))
    first, last, rest = int(minimum[0]), int(maximum[0]), len(minimum) - 1
    if first == last:
        return Concat((CharClass(minimum[0]), _same_length(minimum[1:], maximum[1:])))
    choices = [
        Concat((CharClass(minimum[0]), _same_length(minimum[1:], "9" * rest))),
        Concat((CharClass(maximum[0]), _same_length("0" * rest, maximum[1:]))),
    ]
    if last - first > 1:
        choices.append(Concat((CharClass(f"[{first + 1}-{last - 1}]"), Repeat(DIGIT, rest, rest))))
    return Choice(tuple(choices))
