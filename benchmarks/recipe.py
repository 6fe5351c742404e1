"""Recipe: nanoGPT's CPU recipe in our flags, beside nanoGPT itself. Seconds count from process start to process end.

python -m benchmarks.recipe --text tinyshakespeare.txt --nanogpt CHECKOUT
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import nanogpt
from benchmarks.record import ROOT, flags, record

OURS = ["--config", "configs/nanogpt_cpu.toml"]


def main() -> None:
    asked = flags(__doc__ or "").parse_args()
    text = ["--input_file", str(asked.text)] if asked.text else ["--dataset", "python-docs"]
    with tempfile.TemporaryDirectory() as folder:
        copy = nanogpt.prepared(asked.nanogpt, asked.text, Path(folder)) if asked.nanogpt and asked.text else None
        ours_s, theirs_s = [], []
        for turn in range(asked.rounds):
            if copy:
                seconds, val = nanogpt.train(copy)
                theirs_s.append(seconds)
                record(asked.append, benchmark="recipe", contender="nanoGPT", seconds=round(seconds, 1), val_nats=val)
            began = time.perf_counter()
            command = [sys.executable, "train.py", *OURS, *text, "--out", f"{folder}/{turn}", "--json"]
            told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
            ours_s.append(time.perf_counter() - began)
            result = json.loads(told.stdout.splitlines()[-1])
            val = result["best_val_nats_per_char"]
            record(asked.append, benchmark="recipe", contender="letterwise", seconds=round(ours_s[-1], 1), val_nats=val)
        if theirs_s:
            ratio = statistics.median(a / b for a, b in zip(ours_s, theirs_s, strict=True))
            record(asked.append, benchmark="recipe", seconds_letterwise_over_nanogpt=round(ratio, 3))


if __name__ == "__main__":
    main()
