"""Large counts: bits per character by counts of a whole long text, and of its end alone; seconds and peak memory of each.

python -m benchmarks.large_counts [--chars 1000000000] [--last 16777216 67108864] [--folder DIR]      needs 10 bytes a character

The text is drawn at random, words as rare as in a language: which word follows is a Zipf-like choice that depends on the word
before it. What is scored are other documents of the same source. Each count is a process of its own, and its peak is of all its
memory, with what is mapped of the text and without PyTorch; bits are of the same process, after that.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.record import ROOT, flags, record

WORDS, CHOICES = 2**20, 2**16  # how many different words there are; and of how many one follows another
STREAMS, STEPS = 2**11, 1300  # documents of a block, and the words of each
LONGEST = 12
LETTERS = "etaoinshrdlucmfwypvbgk"
SCORED = 2**21  # characters
ORDER = 7
CHILD = """
import json, resource, sys, time
import numpy as np
from letterwise.ngrams.passage_fit import count_text
text, scored, vocab_size, last, order = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
ids = np.memmap(text, np.uint8, mode="r")[-last:]
began, spent = time.perf_counter(), time.process_time()
counts = count_text(ids, vocab_size, order)
seconds, spent = time.perf_counter() - began, time.process_time() - spent
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
bits = counts.nats_per_char(np.fromfile(scored, np.uint8)) / np.log(2)
ngrams = sum(len(level.characters) for level in counts.levels)
print(json.dumps({"bits_per_char": round(float(bits), 4), "seconds": round(seconds), "processor_seconds": round(spent),
                  "peak_mb": round(peak / 1e6), "ngrams": ngrams}))
"""


def main() -> None:
    parser = flags(__doc__ or "")
    parser.add_argument("--chars", type=int, default=10**9)
    parser.add_argument("--last", type=int, nargs="*", default=[2**24], help="count only so many characters, too")
    parser.add_argument("--folder", help="where the texts are made, and removed")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        text, scored = Path(folder, "text.bin"), Path(folder, "scored.bin")
        write(text, asked.chars, seed=0)
        write(scored, SCORED, seed=1)
        environment = {**os.environ, "TMPDIR": folder}
        for last in (*asked.last, asked.chars):
            arguments = [str(text), str(scored), *map(str, (len(LETTERS) + 2, last, ORDER))]
            told = subprocess.run(
                [sys.executable, "-c", CHILD, *arguments], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
            )
            counted = "all" if last == asked.chars else f"the last {last}"
            figures = {"counted": counted, "chars": asked.chars, "order": ORDER, **json.loads(told.stdout)}
            record(asked.append, benchmark="large_counts", text="drawn words", **figures)


def write(path: Path, chars: int, seed: int) -> None:
    """Write the ids of a text of so many characters, a byte each: letters, then space and line break."""
    letters, lengths = words()
    with path.open("wb") as file:
        for block in blocks(letters, lengths, np.random.default_rng(seed)):
            file.write(block[: chars - file.tell()].data)
            if file.tell() == chars:
                return


def words() -> tuple[np.ndarray, np.ndarray]:
    """How words are spelled: (W, 12) ids of letters, and (W,) how many of these. Frequent ones are short."""
    rng = np.random.default_rng(2)
    letters = np.minimum((len(LETTERS) + 1) ** rng.random((WORDS, LONGEST)) - 1, len(LETTERS) - 1).astype(np.uint8)
    lengths = np.clip(np.log2(np.arange(1, WORDS + 1)) / 3 + rng.integers(1, 5, WORDS), 1, LONGEST - 1).astype(np.int64)
    return letters, lengths


def blocks(letters: np.ndarray, lengths: np.ndarray, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Texts of 2,048 documents each, without end."""
    space, line_break = len(LETTERS), len(LETTERS) + 1
    while True:
        chosen = np.zeros((STREAMS, STEPS), np.int64)
        before = rng.integers(0, WORDS, STREAMS)
        choices = (CHOICES ** rng.random((STEPS, STREAMS))).astype(np.uint64)
        for step in range(STEPS):
            before = follows(before, choices[step])
            chosen[:, step] = before
        each = chosen.reshape(-1)
        spelled = letters[each]
        ends = lengths[each]
        spelled[np.arange(len(each)), ends] = np.where(rng.random(len(each)) < 1 / 12, line_break, space)
        yield spelled[np.arange(LONGEST) <= ends[:, None]]


def follows(words: np.ndarray, choices: np.ndarray) -> np.ndarray:
    """Which word each choice after a word is: the same each time, and low numbers more often."""
    mixed = words.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + choices * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0x94D049BB133111EB)
    share = (mixed >> np.uint64(11)).astype(np.float64) / 2**53
    return (WORDS**share).astype(np.int64) - 1


if __name__ == "__main__":
    main()
