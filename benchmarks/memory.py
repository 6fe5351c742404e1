"""Memory: peak resident bytes of counting a text, and of a training run, each in a process of its own.

python -m benchmarks.memory --text FILE
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.record import ROOT, flags, record

COUNTING = """
import sys, time, resource
from letterwise.config import Config, DataConfig
from letterwise.ngrams.cross_fit import cross_fit
from letterwise.data.prepare import prepare
source = {"input_file": (sys.argv[1],)} if sys.argv[1] else {"dataset": "python-docs"}
stream = prepare(DataConfig(**source), note=lambda text: None)
ids, training = stream.part("train"), Config().training
before, began = int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() // 1024, time.perf_counter()
cross_fit(ids, len(stream.vocabulary), 7, folds=training.counts_folds, max_chars=training.counts_chars)
seconds = time.perf_counter() - began
print(len(ids), seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def main() -> None:
    asked = flags(__doc__ or "").parse_args()
    text = str(asked.text.absolute()) if asked.text else ""
    told = subprocess.run([sys.executable, "-c", COUNTING, text], check=True, capture_output=True, text=True).stdout.split()
    chars, seconds, kib = int(told[0]), float(told[1]), int(told[2])
    about = dict(benchmark="memory", text=Path(text).name or "python-docs", chars=chars)
    record(asked.append, **about, what="counting", seconds=round(seconds, 2), peak_mib_added=round(kib / 1024))
    source = ["--input_file", text] if text else []
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "train.py", *source, "--minutes", "0.5", "--out", f"{folder}/run"]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    seconds = time.perf_counter() - began
    record(asked.append, **about, what="train --minutes 0.5", seconds=round(seconds, 2), peak_mib=round(kib / 1024))


if __name__ == "__main__":
    main()
