r"""Follow: lines of an endless text, each scored as soon as it is whole.

bytes, as they come ──decode──▶ characters ──whole lines──Scorer──▶ what each character costs      memory: a line, a context

Lines that have arrived together are read together, which is many times faster; a lone one is answered at once.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from letterwise.data.line_ends import PlainEnds
from letterwise.data.vocabulary import Tally, Unknown
from letterwise.evaluation.score import LONGEST, Characters, Scorer, count_oov
from letterwise.text_encoding import StreamDecoder

TOGETHER = 2**13  # characters that are read together at most: lines should not wait for too many others


def follow(
    scorer: Scorer, chunks: Iterable[bytes], tally: Tally, *, encoding: str | None = None, unknown: Unknown = "score"
) -> Iterator[Characters]:
    """The characters of the text whose bytes come in `chunks`, line by line; of a line over 65,536 characters, a part.

    Those that are skipped, and cost nothing, are counted in `tally`; they stay in their lines.

    Raises `UserError` on characters that the vocabulary lacks, unless they are to be scored or skipped.
    """
    vocabulary, skips = scorer.model.vocabulary, unknown == "skip"
    unknown = "score" if skips and vocabulary.kind == "char" else unknown
    plain = scorer.model.reads_plain_ends(unknown)
    decode: Callable[[bytes, bool], str] = StreamDecoder(encoding).feed
    if vocabulary.kind == "byte":
        decode = lambda chunk, final: chunk.decode("utf-8", "surrogateescape")  # noqa: E731
    ends, end, line = PlainEnds(), vocabulary.line_end, 1
    held, size = list[np.ndarray](), 0
    for final, chunk in _with_end(chunks):
        text = ends.feed(decode(chunk, final), final) if plain else decode(chunk, final)
        ids = vocabulary.encode(text, unknown, line=line)
        line, tally.read = line + text.count("\n"), tally.read + len(text)
        tally.skipped += count_oov(ids, len(vocabulary)) if skips else 0
        held.append(ids)
        size += len(ids)
        if not (final or size >= LONGEST or (ids == end).any()):
            continue
        ids = np.concatenate(held)
        whole = size if final or size >= LONGEST else int(np.flatnonzero(ids == end)[-1]) + 1
        for start in range(0, whole, TOGETHER):
            yield scorer.read(ids[start : min(whole, start + TOGETHER)])
        held, size = [ids[whole:]], size - whole


def _with_end(chunks: Iterable[bytes]) -> Iterator[tuple[bool, bytes]]:
    for chunk in chunks:
        yield False, chunk
    yield True, b""
