"""Quality: what a preset has learned after some minutes, on four texts, beside counting alone and xz. Nats per character.

    python -m benchmarks.quality --text tinyshakespeare.txt --minutes 1 3 --presets fast classic --seeds 1 2 3

Each run is the real command as a process; `wall_s` is from its start to its end. Presets take turns within a seed.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.record import ROOT, flags, record
from benchmarks.texts import fingerprint, texts, xz_nats

WITHOUT_COUNTS = "fast-without-counts"
PRESETS = ("fast", WITHOUT_COUNTS, "classic", "gpt2", "llama")


def main() -> None:
    parser = flags(__doc__ or "")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 3.0])
    parser.add_argument("--presets", nargs="+", default=list(PRESETS), help=f"of {', '.join(PRESETS)}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--texts", nargs="+", help="only these of the four")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, path in texts(asked.text, Path(folder)).items():
            if asked.texts and name not in asked.texts:
                continue
            about = dict(benchmark="quality", text=name, fingerprint=fingerprint(path))
            record(asked.append, **about, contender="xz", val_nats=round(xz_nats(path), 4))
            for minutes in asked.minutes:
                for seed in asked.seeds:
                    for preset in asked.presets:
                        figures = one_run(path, preset, minutes, seed, Path(folder) / "run")
                        record(asked.append, **about, contender=preset, minutes=minutes, seed=seed, **figures)


def one_run(path: Path, preset: str, minutes: float, seed: int, out: Path) -> dict[str, Any]:
    """Train as a user would; what came of it, under each protocol."""
    chosen = ["--preset", "fast", "--counts_order", "0"] if preset == WITHOUT_COUNTS else ["--preset", preset]
    command = ["train", "--input_file", str(path), *chosen, "--minutes", str(minutes), "--rng_seed", str(seed)]
    began = time.perf_counter()
    result = letterwise(*command, "--out", str(out), "--overwrite")
    wall_s = time.perf_counter() - began
    sliding = letterwise("evaluate", "--model_path", result["model_path"], "--protocol", "sliding")
    blocks = letterwise("evaluate", "--model_path", result["model_path"])
    return dict(
        wall_s=round(wall_s, 1),
        val_nats=round(blocks["nats_per_char"], 4),
        sliding_nats=round(sliding["nats_per_char"], 4),
        counting_bits=result["baselines"]["counting alone"],
        steps=result["iters"],
        chars=result["chars_seen"],
        params=result["params"],
        context=blocks["context"],
        members=len(result.get("members", ())),
        advice=result["advice"],
    )


def letterwise(*arguments: str) -> dict[str, Any]:
    """The command line, and the JSON it ends with."""
    command = [sys.executable, "-c", "import sys; from letterwise.cli import main; sys.exit(main())", *arguments, "--json"]
    told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(told.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
