"""Scoring: characters per second of ranking and following, beside what they were before, in turns; and the memory of ranking.

    python -m benchmarks.scoring --seconds 20

Lines of about 50 characters, made up like those of a log; a fresh `fast` model of 0.8 million parameters with their counts.
`one character at a time` is how --follow once read; `sliding` is how --rank once cut windows. Last, how much the process grows
when a text four times as long is ranked.
"""

import itertools
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.record import flags, record
from letterwise.api import LanguageModel, load
from letterwise.checkpoint import ModelFile, save_model
from letterwise.checkpoint.weights import weights_of
from letterwise.config import DataConfig
from letterwise.config.presets import resolve
from letterwise.data.prepare import prepare
from letterwise.inference.engine import Sequence
from letterwise.model import build, initialize
from letterwise.ngrams import count_ngrams

SHAPE = dict(n_layer=4, n_head=4, n_embd=128, block_size=128)
LEARNED, PIPE = 20_000, 2**16  # lines of the training text; bytes that a pipe holds


def main() -> None:
    parser = flags(__doc__ or "")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long to measure each time, about")
    parser.add_argument(
        "--rank", nargs=2, metavar=("MODEL", "LINES"), help="only rank so many lines, and print the peak of memory"
    )
    asked = parser.parse_args()
    if asked.rank:
        for _ in load(asked.rank[0], device="cpu").rank("".join(lines(1, int(asked.rank[1]))), top=10):
            pass
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
        return
    with tempfile.TemporaryDirectory() as workplace:
        path = model_file(Path(workplace))
        model = load(path, device="cpu")
        ways: dict[str, Callable[[str], object]] = {
            "--follow, one character at a time": lambda text: one_by_one(model, text),
            "--follow": lambda text: list(model.follow(pieces(text))),
            "--rank, sliding": lambda text: list(model.rank(text, protocol="sliding", top=10)),
            "--rank": lambda text: list(model.rank(text, top=10)),
        }
        speeds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(asked.rounds):
            for name, way in ways.items():
                speeds[name].append(rate(way, asked.seconds))
        for name, rates in speeds.items():
            other = speeds[next(first for first in ways if first.startswith(name.split(",")[0]))]
            ratio = statistics.median(a / b for a, b in zip(rates, other, strict=True))
            figures = {"chars_per_second": round(statistics.median(rates)), "over before": round(ratio, 2)}
            record(asked.append, benchmark="scoring", contender=name, **SHAPE, **figures)
        peaks = [peak_mb(path, count) for count in (4_000, 16_000)]
        record(asked.append, benchmark="scoring", contender="--rank, memory", peak_mb=peaks[0], four_times_as_long=peaks[1])


def lines(seed: int, count: int) -> Iterator[str]:
    """Lines of a made-up log."""
    draw = random.Random(seed)
    for _ in range(count):
        number, what = draw.randint(1, 9999), draw.choice(("GET /items 200", "POST /items 201", "job done", "cache hit"))
        when = f"2026-11-{draw.randint(10, 30)} {draw.randint(10, 23)}:{draw.randint(10, 59)}"
        yield f"{when} INFO {number} {what} in {number % 400} ms\n"


def model_file(workplace: Path) -> Path:
    """A model of such lines, of which only the counts were learned."""
    (workplace / "log.txt").write_text("".join(lines(0, LEARNED)))
    config = resolve({"preset": "fast", **SHAPE, "input_file": (str(workplace / "log.txt"),)})
    stream = prepare(DataConfig(input_file=(str(workplace / "log.txt"),)), note=lambda text: None)
    weights = weights_of(initialize(build(config.model, len(stream.vocabulary)), seed=0))
    counts = count_ngrams(stream.part("train"), len(stream.vocabulary), config.model.counts_order)
    data = {"fingerprint": stream.fingerprint, "sources": list(stream.sources), "bounds": list(stream.bounds)}
    save_model(workplace / "model.safetensors", ModelFile(config, stream.vocabulary, weights, data, [], counts))
    return workplace / "model.safetensors"


def pieces(text: str) -> Iterator[bytes]:
    """As a full pipe gives them."""
    raw = text.encode()
    return (raw[i : i + PIPE] for i in range(0, len(raw), PIPE))


def one_by_one(model: LanguageModel, text: str) -> None:
    """How --follow once read."""
    sequence = Sequence(model.backend)
    for id in model.vocabulary.encode(text).tolist():
        sequence.read((id,))


def rate(way: Callable[[str], object], seconds: float) -> float:
    """Characters per second: after a little to warm up, of a text that takes about so many seconds."""
    began = time.perf_counter()
    way("".join(lines(2, 200)))
    text = "".join(itertools.islice(lines(1, 10**9), max(200, round(200 * seconds / (time.perf_counter() - began)))))
    began = time.perf_counter()
    way(text)
    return len(text) / (time.perf_counter() - began)


def peak_mb(path: Path, count: int) -> int:
    """The most memory that a process took that ranked so many lines."""
    command = [sys.executable, "-m", "benchmarks.scoring", "--rank", str(path), str(count)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, env=dict(os.environ)).stdout)


if __name__ == "__main__":
    main()
