"""Follow: lines of an endless text, each scored as soon as it is whole.

bytes, as they come ──decode──▶ characters ──read, one at a time──▶ Line, Line, …        memory: one line, one context
"""

import codecs
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from letterwise.data.vocabulary import Unknown, Vocabulary
from letterwise.evaluation.score import LONGEST, Line, barely
from letterwise.loss import bits

Read = Callable[[Sequence[int]], np.ndarray]  # what `Predictor.read` is (inference/predictor.py)


def follow(
    read: Read,
    vocabulary: Vocabulary,
    chunks: Iterable[bytes],
    encoding: str = "utf-8",
    unknown: Unknown = "error",
    *,
    first_predicted: bool = False,
) -> Iterator[Line]:
    """The lines of the text whose bytes come in `chunks`, a line that is longer than 65,536 characters in pieces.

    Is the text's first character predicted, too? With a model of lines it can be.

    Raises `UserError` on characters that the vocabulary lacks, unless they are to be skipped.
    """
    decode: Callable[[bytes, bool], str] = codecs.getincrementaldecoder(encoding)("replace").decode
    if vocabulary.kind == "byte":
        decode = lambda chunk, final: chunk.decode("utf-8", "surrogateescape")  # noqa: E731
    number, start, costs = 0, 0, list[float]()
    expected = read(()).astype(np.float64) if first_predicted else None
    ids = list[int]()

    def line() -> Line:
        characters = barely(np.array(ids), np.array(costs))
        predicted = len(ids) - (start == 0 and not first_predicted)
        return Line(number, start, vocabulary.decode(ids), characters, predicted)

    for final, chunk in _with_end(chunks):
        for id in vocabulary.encode(decode(chunk, final), unknown).tolist():
            costs.append(0.0 if expected is None else bits(float(np.logaddexp.reduce(expected) - expected[id])))
            ids.append(id)
            expected = read((id,)).astype(np.float64)
            if id == vocabulary.line_break or len(ids) == LONGEST:
                number += 1
                yield line()
                start += len(ids)
                ids, costs = [], []
    if ids:
        number += 1
        yield line()


def _with_end(chunks: Iterable[bytes]) -> Iterator[tuple[bool, bytes]]:
    for chunk in chunks:
        yield False, chunk
    yield True, b""
