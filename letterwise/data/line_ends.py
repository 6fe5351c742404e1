r"""Line ends: the one place that says what a line is.

    "a\r\n\nb\x0bc" ──split_lines──▶ ["a\r\n", "\n", "b\x0bc"] ──bare──▶ ["a", "", "b\x0bc"]

A line ends with \n or \r\n, and with nothing else: not with a lone \r, nor with the vertical tab, form feed, NEL, LS or PS that
Python's `str.splitlines` splits at, too. Those are characters of the line. An empty line is a line. Where lines are examples
(`--lines`), \r\n is read as \n; in any other text it stays two characters.
"""

from collections.abc import Container, Iterator

import numpy as np

from letterwise.progress import Note

LINE_BREAK, RETURN = ord("\n"), ord("\r")
LONG_LINE = 2**16  # characters: of a longer line, a note asks whether it is meant


def split_lines(text: str) -> list[str]:
    """The lines of a text, each with its end; joined, they are the text. What stands after the last end is a line, too."""
    *ended, last = text.split("\n")
    return [f"{line}\n" for line in ended] + [last] * bool(last)


def bare(line: str) -> str:
    """A line without its end."""
    return line[:-1].removesuffix("\r") if line.endswith("\n") else line


def reads_plain_ends(vocabulary: Container[str], *, lines: bool, oov: bool) -> bool:
    r"""Is \r\n read as \n? By a model of `lines`, and where characters that are `oov` have ids and \r is one of them."""
    return lines or (oov and "\r" not in vocabulary)


def plain_ends(text: str) -> str:
    r"""The text with \n for \r\n: as a model of lines reads it."""
    return text.replace("\r\n", "\n")


class PlainEnds:
    r"""`plain_ends` for a text that comes in pieces: a \r at the end of one is held back until it is known what follows."""

    def __init__(self) -> None:
        self.held = ""

    def feed(self, text: str, final: bool = False) -> str:
        """What is certain now; `final`, all of it."""
        text = self.held + text
        self.held = "\r" if text.endswith("\r") and not final else ""
        return plain_ends(text.removesuffix(self.held) if self.held else text)


def with_line_ends(chunks: Iterator[np.ndarray], *, whole: bool) -> Iterator[np.ndarray]:
    r"""`plain_ends` for code points; `whole`, with \n also after a last line that lacks it."""
    held, last = np.zeros(0, np.uint8), LINE_BREAK
    for chunk in chunks:
        points = np.concatenate((held, chunk)) if len(held) else chunk
        if not len(points):
            continue
        cut = len(points) - int(points[-1] == RETURN)  # which may be half of a line's end
        points, held = points[:cut], points[cut:]
        kept = np.ones(len(points), bool)
        kept[:-1] = (points[:-1] != RETURN) | (points[1:] != LINE_BREAK)
        if len(points):
            last = points[-1]
            yield points if kept.all() else points[kept]
    if len(held):
        last = held[-1]
        yield held
    if whole and last != LINE_BREAK:
        yield np.array([LINE_BREAK], np.uint8)


def note_returns(name: str, breaks: int, returns: int, note: Note) -> bool:
    r"""A note where lines are hardly what was meant: \r alone ends them. Whether there was one."""
    if returns and not breaks:
        note(
            f"{name!r} has {returns:,} carriage returns (\\r) and no line feed (\\n), so it is one line: "
            f"write \\n for each, as `tr '\\r' '\\n'` does."
        )
    return returns > 0 and not breaks


def warn_about_lines(
    chunks: Iterator[np.ndarray], name: str, note: Note, *, max_length: int = LONG_LINE
) -> Iterator[np.ndarray]:
    r"""The same code points; when they have ended, a note where lines are hardly what was meant: \r alone, or a huge line."""
    breaks, returns, longest, running = 0, 0, 0, 0
    for chunk in chunks:
        ends = np.flatnonzero(chunk == LINE_BREAK)
        breaks, returns = breaks + len(ends), returns + int((chunk == RETURN).sum())
        if len(ends):
            longest = max(longest, running + int(ends[0]), int(np.diff(ends).max(initial=1)) - 1)
            running = len(chunk) - 1 - int(ends[-1])
        else:
            running += len(chunk)
        yield chunk
    longest = max(longest, running)
    if not note_returns(name, breaks, returns, note) and longest > max_length:
        note(f"{name!r} has a line of {longest:,} characters: if that is not meant, put line breaks (\\n) into it.")
