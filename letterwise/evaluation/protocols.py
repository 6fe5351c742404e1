"""Protocols: how much context a character is scored with (passes.py says what each means)."""

from letterwise.errors import UserError

OVERLAPS = {"blocks": 0, "eighth": 1 / 8, "sliding": 1 / 2}  # of the context
PROTOCOLS = (*OVERLAPS,)


def overlap_of(protocol: str, block_size: int) -> int:
    """By how many characters windows overlap. Raises `UserError` when the protocol is not known."""
    if protocol not in PROTOCOLS:
        raise UserError(f"protocol {protocol!r} is not known: it is one of {', '.join(PROTOCOLS)}.")
    return int(block_size * OVERLAPS[protocol])
