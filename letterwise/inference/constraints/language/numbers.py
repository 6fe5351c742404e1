"""Numbers: decimal numbers between two bounds, as an expression.

    integer((5, False), (12, False)) ──▶ [5-9] | 1[0-2]        number((0.5, True), None) ──▶ 0.5…1 | 0.[6-9]… | [1-9]…

Bounds are exact decimals, as they stand in the schema: 0.1 is a tenth. A number with a bound is written without exponent.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from letterwise.inference.constraints.language.regex import ANY_DIGIT, Choice, Expression, One, Repeat, Row, Unusual

Bound = tuple[Decimal, bool]  # and whether it is excluded itself
MOST_DIGITS = 20  # of a bound

NOTHING = Choice(())
DIGITS = Repeat(ANY_DIGIT, 0, None)
WHOLE = Choice((One("0"), Row((One("[1-9]"), DIGITS))))
SIGN = Repeat(One("-"), 0, 1)
FRACTION = Repeat(Row((One(r"\."), Repeat(ANY_DIGIT, 1, None))), 0, 1)
EXPONENT = Repeat(Row((One("[Ee]"), Repeat(One("[-+]"), 0, 1), Repeat(ANY_DIGIT, 1, None))), 0, 1)


def integer(low: Bound | None, high: Bound | None) -> Expression:
    """Whole numbers between two, in decimal digits. None: no bound."""
    least, most = _whole(low, ROUND_CEILING), _whole(high, ROUND_FLOOR)
    least = least + 1 if least is not None and low == (least, True) else least
    most = most - 1 if most is not None and high == (most, True) else most
    positive = NOTHING if most is not None and most < 0 else _between(max(0, least or 0), most)
    if least is not None and least >= 0:
        return positive
    nearest = 0 if (least is None) == (most is None) else 1  # -0, as the engine has it
    return Choice((positive, Row((One("-"), _between(max(nearest, -(most or 0)), None if least is None else -least)))))


def number(low: Bound | None, high: Bound | None) -> Expression:
    """Numbers between two."""
    if low is None and high is None:
        return Row((SIGN, WHOLE, FRACTION, EXPONENT))
    for bound in (low, high):
        _whole(bound, ROUND_FLOOR)  # is it of a size that can be laid out?
    zero = (Decimal(0), False)
    positive = NOTHING if high and high < zero else _unsigned(max(low or zero, zero), high)
    mirrored = None if high is None else (-high[0], high[1]), None if low is None else (-low[0], low[1])
    if low and low[0] >= 0:
        return positive
    return Choice((positive, Row((One("-"), _unsigned(max(mirrored[0] or zero, zero), mirrored[1])))))


def _whole(bound: Bound | None, rounding: str) -> int | None:
    """A bound as the next whole number within. Raises `Unusual` where it has too many digits."""
    if bound is None:
        return None
    if not bound[0].is_finite() or len(format(bound[0], "f")) > MOST_DIGITS + 2:
        raise Unusual("a bound of so many digits")
    return int(bound[0].to_integral_value(rounding))


def _unsigned(low: Bound, high: Bound | None) -> Expression:
    """Numbers between two that are 0 or more."""
    (whole_low, low_digits), (whole_high, high_digits) = _parts(low[0]), _parts(high[0]) if high else (None, "")
    if high and (high[0] < low[0] or (high[0] == low[0] and (low[1] or high[1]))):
        return NOTHING
    first, last = _between(whole_low, whole_low), None if whole_high is None else _between(whole_high, whole_high)
    if last and high and whole_low == whole_high:
        return Row((first, _fraction(low_digits, low[1], high_digits, high[1])))
    choices = [Row((first, _fraction(low_digits, low[1], None, False)))]
    if whole_high is None or whole_high - whole_low > 1:
        choices.append(Row((_between(whole_low + 1, None if whole_high is None else whole_high - 1), FRACTION)))
    if last and high:
        choices.append(Row((last, _fraction("", False, high_digits, high[1]))))
    return Choice(tuple(choices))


def _parts(bound: Decimal) -> tuple[int, str]:
    """The whole part, and the digits behind the point up to the last that is not 0."""
    whole, _, digits = format(bound, "f").partition(".")
    return int(whole), digits.rstrip("0")


def _fraction(low: str, low_open: bool, high: str | None, high_open: bool) -> Expression:
    """Nothing, where that is between the two, or a point and digits (None: up to 1)."""
    none = [Row(())] if not low and not low_open and (high or high is None or not high_open) else []
    return Choice((*none, Row((One(r"\."), _rest(low, low_open, high, high_open, False)))))


def _rest(low: str, low_open: bool, high: str | None, high_open: bool, may_stop: bool) -> Expression:
    """Digits behind some that were written; with `may_stop`, they may be none."""
    none_fits = not low and not low_open and (high is None or bool(high) or not high_open)
    if high is None and none_fits:
        return Repeat(ANY_DIGIT, 0 if may_stop else 1, None)
    if high == "":
        return Repeat(One("0"), 0 if may_stop else 1, None) if none_fits else NOTHING
    if high is None and not low:
        return Row((Repeat(One("0"), 0, None), One("[1-9]"), DIGITS))
    first, last = int(low[:1] or 0), 9 if high is None else int(high[:1])
    choices: list[Expression] = [Row(())] if may_stop and none_fits else []
    if first == last and high is not None:
        choices.append(Row((One(str(first)), _rest(low[1:], low_open, high[1:], high_open, True))))
    elif first <= last:
        choices.append(Row((One(str(first)), _rest(low[1:], low_open, None, False, True))))
        top = last if high is None else last - 1
        if top > first:
            choices.append(Row((One(f"[{first + 1}-{top}]"), DIGITS)))
        if high is not None:
            choices.append(Row((One(str(last)), _rest("", False, high[1:], high_open, True))))
    return Choice(tuple(choices))


def _between(least: int, most: int | None) -> Expression:
    """Whole numbers from 0 on between two."""
    if most is None:
        ten = 10 ** len(str(least))
        longer = Row((One("[1-9]"), Repeat(ANY_DIGIT, len(str(least)), None)))
        return Choice((_between(least, ten - 1), longer))
    if least > most:
        return NOTHING
    if len(str(least)) < len(str(most)):
        ten = 10 ** len(str(least))
        return Choice((_between(least, ten - 1), _between(ten, most)))
    return _digits(str(least), str(most))


def _digits(least: str, most: str) -> Expression:
    """Rows of as many digits, between two in the order of a dictionary."""
    if least == "0" * len(least) and most == "9" * len(most):
        return Repeat(ANY_DIGIT, len(least), len(least))
    first, last, rest = int(least[0]), int(most[0]), len(least) - 1
    if first == last:
        return Row((One(least[0]), _digits(least[1:], most[1:])))
    choices = [Row((One(least[0]), _digits(least[1:], "9" * rest))), Row((One(most[0]), _digits("0" * rest, most[1:])))]
    if last - first > 1:
        choices.append(Row((One(f"[{first + 1}-{last - 1}]"), Repeat(ANY_DIGIT, rest, rest))))
    return Choice(tuple(choices))
