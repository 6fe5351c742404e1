"""Byte names: how byte-level tokenizers spell each byte, as a character that can be printed.

0x41 ◀──▶ "A"        0x20 ◀──▶ "Ġ"        what Latin-1 can print as it is, the others by characters from U+0100 on
"""

PRINTED = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}


def byte_names() -> list[str]:
    """The name of each of the 256 bytes."""
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in PRINTED else chr(next(others)) for byte in range(256)]
