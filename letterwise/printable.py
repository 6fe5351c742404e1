r"""Printable: text from elsewhere, made safe to show.

    "a\x1b[31mb\x07" ──printable──▶ "a\\x1b[31mb\\x07"        what a terminal would obey is spelled out; nothing else changes

Texts, file names and model files come from anybody. A terminal obeys escape sequences in what it shows: it can be made to
hide a line, to change its title, or to type. Whatever is shown to a person and not written by us goes through here.
"""

import re

# C0 and C1 controls but line break and tab, line and paragraph separators, and marks that turn the direction of writing.
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
BREAKS = re.compile("[\n\t]")


def printable(text: str, *, one_line: bool = False) -> str:
    r"""The text with every character that a terminal would obey as its escape sequence; `one_line`, line breaks and tabs, too.

    >>> printable("a\x1b[2J")
    'a\\x1b[2J'
    """
    text = OBEYED.sub(_escaped, text)
    return BREAKS.sub(_escaped, text) if one_line else text


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
