"""Large text: from gigabytes to ids, and a folder of files: MB/s the first time, seconds the second, peak memory.

python -m benchmarks.large_text [--gigabytes 10] [--files 100000] [--counts_chars 67108864] [--folder DIR]

DIR needs twice the text's room.

The text is drawn at random: letters about as frequent as in English, and what is not ASCII here and there. Before each start,
the kernel is asked to forget the files, so that they come from the disk. Seconds are until the first batch is drawn; with
`--counts_chars`, which a run counts by default, until what its counts say of it is looked up, too.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.record import ROOT, flags, record

BLOCK = 2**24
LETTERS = np.frombuffer(b"     eeeeetttaaaooiinnsshhrrddlluccmmwffggyyppbbvk.,\n", np.uint8)
CHILD = """
import json, resource, sys, time
began = time.perf_counter()
import torch  # as when training
from letterwise.config import DataConfig
from letterwise.data.batches import Batches
from letterwise.data.prepare import prepare
stream = prepare(DataConfig(input_file=(sys.argv[1],)), note=lambda text: None)
windows = Batches(stream.part("train"), 128, 16, 0).at(0)
encoded = time.perf_counter() - began
if int(sys.argv[2]):
    from letterwise.ngrams import kept
    prior = kept.fitted(stream, 7, folds=100, max_chars=int(sys.argv[2]))
    prior.log_probs_at(windows.starts, 128, 7)
seconds = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
found = {"seconds": seconds, "encoded": encoded, "processor_seconds": time.process_time(), "peak_bytes": peak}
print(json.dumps({**found, "chars": len(stream.ids)}))
"""


def main() -> None:
    parser = flags(__doc__ or "")
    parser.add_argument("--gigabytes", type=float, default=10)
    parser.add_argument("--files", type=int, default=100_000, help="how many files of about 1.6 kB")
    parser.add_argument("--folder", help="where the texts are made, and removed")
    parser.add_argument("--counts_chars", type=int, default=0, help="count so many of the one text's characters, too")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        one, many = Path(folder, "text.txt"), Path(folder, "files")
        sizes = {one: generate(one, int(asked.gigabytes * 1e9))} if asked.gigabytes else {}
        sizes |= {many: generate_files(many, asked.files)} if asked.files else {}
        for path, size in sizes.items():
            for turn in ("first", "second"):
                forget(Path(folder))
                command = [sys.executable, "-c", CHILD, str(path), str(asked.counts_chars if path == one else 0)]
                environment = {**os.environ, "LETTERWISE_CACHE": f"{folder}/cache"}
                told = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
                result = json.loads(told.stdout)
                figures = {"gigabytes": round(size / 1e9, 2), "seconds": round(result["seconds"], 2), "chars": result["chars"]}
                if turn == "first":
                    figures["mb_per_second"] = round(size / 1e6 / result["encoded"])
                figures["processor_seconds"] = round(result["processor_seconds"], 1)
                if asked.counts_chars and path == one:
                    figures["counts_chars"] = asked.counts_chars
                figures["peak_mb"] = round(result["peak_bytes"] / 1e6)
                record(asked.append, benchmark="large_text", text=path.stem, turn=turn, **figures)


def generate(path: Path, size: int, seed: int = 0) -> int:
    """Write a text of about so many bytes; how many they are."""
    rng = np.random.default_rng(seed)
    with path.open("wb") as file:
        while file.tell() < size:
            block = LETTERS[rng.integers(0, len(LETTERS), min(BLOCK, size - file.tell()), np.uint8)].tobytes()
            file.write(block[:-2] + "é".encode())
        return file.tell()


def generate_files(folder: Path, count: int) -> int:
    """Write a folder of small files, a thousand in each of its folders; how many bytes they are together."""
    total = 0
    for i in range(count):
        path = folder / f"{i // 1000:04}" / f"{i % 1000:03}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = f"file {i}\n" + "A line of text that stands in many files.\n" * (8 + i % 60)
        total += path.write_text(text)
    return total


def forget(folder: Path) -> None:
    """Drop the files of a folder from the kernel's memory, where the system can do that."""
    for path in folder.rglob("*.*"):
        if path.is_file() and hasattr(os, "posix_fadvise"):
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
