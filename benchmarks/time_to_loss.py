"""Time to loss: seconds from process start until a process says that its validation is at or below a target.

    python -m benchmarks.time_to_loss --text tinyshakespeare.txt --nanogpt CHECKOUT

Everything counts: starting Python, reading the text, counting, validating. Contenders take turns within one run. nanoGPT's
validation is its own estimate from 20 batches; ours is the whole validation part.
"""

import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import nanogpt
from benchmarks.record import ROOT, flags, record

TARGET = 1.886  # what nanoGPT's CPU recipe ends with on tiny Shakespeare
OURS = {
    "fast": ["--minutes", "0.5"],
    "fast-without-counts": ["--counts_order", "0", "--minutes", "0.25"],
    "counts": ["--preset", "counts"],
}


def main() -> None:
    parser = flags(__doc__ or "")
    parser.add_argument("--target", type=float, default=TARGET, help="nats per character")
    asked = parser.parse_args()
    seconds: dict[str, list[float | None]] = {}
    with tempfile.TemporaryDirectory() as folder:
        copy = nanogpt.prepared(asked.nanogpt, asked.text, Path(folder)) if asked.nanogpt and asked.text else None
        text = ["--input_file", str(asked.text.absolute())] if asked.text else ["--dataset", "python-docs"]
        for _ in range(asked.rounds):
            if copy:
                command = [sys.executable, "train.py", "config/train_shakespeare_char.py", *nanogpt.CPU_RECIPE]
                seconds.setdefault("nanoGPT", []).append(reached(command, copy, r"val loss (\d+\.\d+)", asked.target))
            for name, chosen in OURS.items():
                command = [sys.executable, "train.py", *text, *chosen, "--out", f"{folder}/{name}", "--overwrite"]
                seconds.setdefault(name, []).append(reached(command, ROOT, r"val (\d+\.\d+) nats", asked.target))
    base = seconds.get("nanoGPT")
    for name, each in seconds.items():
        figures = {"seconds": each}
        if base and name != "nanoGPT" and None not in each + base:
            figures["nanogpt_over_ours"] = round(statistics.median(b / a for a, b in zip(each, base, strict=True)), 1)
        record(asked.append, benchmark="time_to_loss", contender=name, target=asked.target, **figures)


def reached(command: list[str], folder: Path, pattern: str, target: float) -> float | None:
    """When the process first printed a validation at or below the target; None if it ended without."""
    began, at = time.perf_counter(), None
    line_by_line = [command[0], "-u", *command[1:]]
    with subprocess.Popen(line_by_line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            found = re.search(pattern, line)
            if at is None and found and float(found[1]) <= target:
                at = round(time.perf_counter() - began, 2)
                process.kill()
    return at


if __name__ == "__main__":
    main()
