"""`python -m benchmarks`: all of them, in turn. Flags are handed to each (`--nanogpt CHECKOUT`, `--text FILE`)."""

import subprocess
import sys

for name in ("encode", "decode", "constraints", "recipe", "throughput", "memory", "time_to_loss", "quality", "scoring"):
    subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *sys.argv[1:]], check=True)
