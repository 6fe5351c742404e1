"""Encode: from a 100 MB text file to memory-mapped ids: MB/s the first time, seconds the second, peak memory.

python -m benchmarks.encode [--text FILE]      the text is repeated up to 100 MB; each turn is a process of its own
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.record import ROOT, flags, record

MEGABYTES = 100
CHILD = """
import json, resource, sys, time
import torch  # as when training
from letterwise.config import DataConfig
from letterwise.data.prepare import prepare
began = time.perf_counter()
stream = prepare(DataConfig(input_file=(sys.argv[1],)), note=lambda text: None)
seconds = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"seconds": seconds, "chars": len(stream.ids), "peak_bytes": peak}))
"""


def main() -> None:
    asked = flags(__doc__ or "").parse_args()
    texts = {"ascii": asked.text.read_bytes() if asked.text else english()}
    texts["many scripts"] = "Πάντα ῥεῖ — всё течёт, 万物流转。 Alles fließt.\n".encode()
    for name, unit in texts.items():
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "text.txt"
            file.write_bytes(unit * (MEGABYTES * 1_000_000 // len(unit) + 1))
            size = file.stat().st_size / 1e6
            for turn in ("first", "second"):
                environment = {**os.environ, "LETTERWISE_CACHE": folder}
                command = [sys.executable, "-c", CHILD, str(file)]
                told = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
                result = json.loads(told.stdout)
                figures = {"megabytes": round(size), "seconds": round(result["seconds"], 2), "chars": result["chars"]}
                figures |= {"mb_per_second": round(size / result["seconds"]), "peak_mb": round(result["peak_bytes"] / 1e6)}
                record(asked.append, benchmark="encode", text=name, turn=turn, **figures)


def english() -> bytes:
    """The embedded text."""
    from letterwise.data.reading.datasets import python_docs

    return python_docs().encode()


if __name__ == "__main__":
    main()
