"""Runs to hurt: small processes, and what two runs must have in common to be the same run."""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from forked import started

from letterwise.checkpoint.container import checksum, unpack
from letterwise.checkpoint.training_state import load_state
from letterwise.training import validation
from letterwise.training.metrics.rows import in_order

ROOT = Path(__file__).parents[2]
TEXT = "".join(f"The {a} sat on the {b}. " for a in ("cat", "dog", "owl", "hen") for b in ("mat", "log", "sill", "bed")) * 12
SHAPE = dict(n_layer=1, n_head=2, n_embd=16, block_size=16, batch_size=4, warmup_iters=2, device="cpu", threads=1)
TIMED = ("seconds", "chars_per_second")
MINUTES = float(os.environ.get("LETTERWISE_TORTURE_MINUTES", "0"))  # 0: CI's share


def text_file(folder: Path) -> Path:
    """The text that all of these runs learn."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "text.txt").write_text(TEXT)
    return folder / "text.txt"


def command(out: Path, *, text: Path | None = None, resume: bool = False, **flags: object) -> list[str]:
    """What to say to `letterwise`: train afresh on `text`, or resume."""
    said = ["--resume"] if resume else ["--input_file", str(text)]
    said += [f"--{name}={value}" for name, value in ({**flags} if resume else {**SHAPE, **flags}).items()]
    return ["train", "--out", str(out), *said]


def in_python(words: list[str]) -> list[str]:
    """A command line of Python's for `letterwise WORDS`, with samples as long as they are here."""
    samples = f"from letterwise.training import validation; validation.SAMPLE_CHARS = {validation.SAMPLE_CHARS}"
    return [sys.executable, "-c", f"import sys; from letterwise.cli import main; {samples}; sys.exit(main())", *words]


def environment(*paths: Path, **more: str) -> dict[str, str]:
    """For a process that finds the package and `paths`. Its coverage is not measured: it could not write that down in peace."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    return {**kept, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, *paths))), "OMP_NUM_THREADS": "1", **more}


def start(words: list[str], **options: Any) -> subprocess.Popen:
    """The process, its stderr to be read line by line."""
    return started(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options)


def finished(words: list[str], code: int = 0, **options: Any) -> str:
    """Run it to its end; its stderr."""
    return ended(start(words, **options), code)


def ended(process: subprocess.Popen, code: int = 0) -> str:
    """Wait for its end; its stderr. It must leave with `code`, and without a traceback."""
    told = process.communicate(timeout=1800)[1]
    assert process.returncode == code, (process.returncode, told)
    assert "Traceback" not in told, told
    return told


def under_way(process: subprocess.Popen, word: str = "parameters") -> str:
    """Wait until it says `word`; the line. By default, the line after which it learns."""
    for line in process.stderr:
        if word in line:
            return line
    raise AssertionError(f"it ended without saying {word!r}")


def essence(out: Path) -> dict[str, str]:
    """What must be the same to the last bit, as hashes: every tensor of the state, the rows but for their clocks, the model."""
    state = load_state(out / "state.safetensors")
    _, tensors = unpack(out / "state.safetensors")
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert rows.pop() == {"kind": "end", "step": state.step}
    assert rows == in_order([*state.rows, *state.record])
    _, model = unpack(out / "model.safetensors")
    return {
        "weights, best weights and optimizer": checksum({"step": state.step}, tensors),
        "metrics": digest([{name: value for name, value in row.items() if name not in TIMED} for row in rows]),
        "model": checksum({}, model),
    }


def digest(value: object) -> str:
    """sha256 of something plain."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def until(condition, seconds: float = 300) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)
