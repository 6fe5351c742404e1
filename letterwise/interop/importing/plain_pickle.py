"""Plain pickle: a pickle of containers, texts and numbers, read without running it.

bytes ──pickletools: operations, one by one──▶ dicts, lists, texts, whole numbers      anything else is refused by its name

nanoGPT keeps the characters of a text in a pickle (`meta.pkl`), and a pickle can bring any code.
"""

import pickletools
from typing import Any

from letterwise.checkpoint.torch_archive import Refused, first_line

VALUES = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
READ = (
    *("INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT"),
    *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
)  # operations whose argument is the value
SKIPPED = ("PROTO", "FRAME")


class _Mark:
    """Where the parts of a container begin on the stack."""


def read_plain_pickle(pickled: bytes) -> Any:
    """What a pickle holds. Raises `Refused` when it is damaged, or would make anything but plain containers and values."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            if opcode.name == "STOP":
                return stack[-1]
            _step(opcode.name, argument, stack, memo)
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise Refused(f"is not a pickle, or is damaged: {first_line(error)}") from error
    raise Refused("is not a pickle, or is not all there")


def _step(name: str, argument: Any, stack: list[Any], memo: dict[int, Any]) -> None:
    """One operation."""
    match name:
        case _ if name in READ:
            stack.append(argument)
        case _ if name in VALUES:
            stack.append(VALUES[name])
        case _ if name in SKIPPED:
            pass
        case "MARK":
            stack.append(_Mark())
        case "EMPTY_DICT":
            stack.append({})
        case "EMPTY_LIST":
            stack.append([])
        case "DICT":
            stack.append(_pairs(_popped(stack)))
        case "LIST":
            stack.append(_popped(stack))
        case "SETITEM":
            value, key = stack.pop(), stack.pop()
            stack[-1].update({key: value})
        case "SETITEMS":
            items = _pairs(_popped(stack))
            stack[-1].update(items)
        case "APPEND":
            value = stack.pop()
            stack[-1].append(value)
        case "APPENDS":
            values = _popped(stack)
            stack[-1].extend(values)
        case "MEMOIZE":
            memo[len(memo)] = stack[-1]
        case "PUT" | "BINPUT" | "LONG_BINPUT":
            memo[argument] = stack[-1]
        case "GET" | "BINGET" | "LONG_BINGET":
            stack.append(memo[argument])
        case _:
            code = f"{name} {argument}" if argument else name
            raise Refused(f"holds more than texts and numbers ({code[:60]!r}), which Letterwise never runs")


def _popped(stack: list[Any]) -> list[Any]:
    """What lies above the last mark, which goes with it."""
    values = []
    while not isinstance(value := stack.pop(), _Mark):
        values.append(value)
    return values[::-1]


def _pairs(flat: list[Any]) -> dict[Any, Any]:
    """Key, value, key, value, … as a dict."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
