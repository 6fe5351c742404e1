"""GPU: how far one is used, in less than 20 minutes. `make bench-gpu` runs it and keeps its lines.

    python -m benchmarks.gpu [--nanogpt CHECKOUT] [--text FILE] [--large FILE] [--append FILE]

matrices      the bfloat16 matrix rate of the device, which the others are held against
recipe        seconds until validation is at 1.4697 nats, as nanoGPT's recipe ends: by itself, by us, and by `fast`
training      characters per second of the recipes in configs/, and the share of the matrix rate; seconds to the first step
writing       characters per second of one text, and of 64 side by side
minutes       `fast` and `llama`, as many minutes each, on a large text

--text is tiny Shakespeare, --large 100 MB (text8): they are downloaded where they are not named. --tiny proves on a CPU that
all of it runs, with models and texts too small to say anything.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import nanogpt
from benchmarks.decode import VOCABULARY, counted, writer
from benchmarks.record import ROOT, flags, record
from benchmarks.time_to_loss import reached
from letterwise.config.accounting import flops_per_char
from letterwise.config.presets import asked_values, resolve
from letterwise.errors import UserError
from letterwise.inference.torch_backend import TorchBackend
from letterwise.model import build, initialize
from letterwise.training.prepare import train

TARGET = 1.4697  # nats per character
LIMIT_S = 18 * 60  # after which nothing else is begun
NO_GPU = "benchmarks.gpu: there is no CUDA device on this machine, and nothing was measured: --tiny tries it on a CPU."


@dataclass(frozen=True)
class Size:
    """How much of everything. `smaller` shrinks each model."""

    device: str = "cuda"
    matrix: int = 8192
    steps: int = 60
    warm: int = 20
    chars: int = 500
    seconds: float = 5.0
    minutes: float = 2.5
    target: float = TARGET
    smaller: tuple[tuple[str, Any], ...] = ()
    recipes: tuple[str, ...] = ("nanogpt_gpu", "llama_124m_gpu", "llama_350m_gpu")
    presets: tuple[str, ...] = ("llama", "fast")
    text: Path | None = None
    large: Path | None = None
    append: Path | None = None


SMALLER = dict(n_layer=1, n_head=2, n_kv_head=2, n_embd=16, block_size=16, batch_size=4, gradient_accumulation_steps=1)
SMALLER |= dict(compile=False, val_fraction=0.1, test_fraction=0.0, dtype="float32", threads=1)
TINY = Size("cpu", 64, 4, 2, 8, 0.01, 0.01, 99.0, tuple(SMALLER.items()), ("llama_124m_gpu",), ("llama",))


def main(arguments: list[str] | None = None) -> int:
    """Measure what was asked for; 2 where there is no GPU."""
    parser = flags(__doc__ or "")
    parser.add_argument("--large", type=Path, help="a large text (default: text8)")
    parser.add_argument("--tiny", action="store_true", help="on a CPU, to see that it runs")
    asked = parser.parse_args(arguments)
    if not asked.tiny and not torch.cuda.is_available():
        print(NO_GPU, file=sys.stderr)
        return 2
    large = asked.large or (asked.text if asked.tiny else None)
    size = replace(TINY if asked.tiny else Size(), text=asked.text, large=large, append=None if asked.tiny else asked.append)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        rate = matrices(size)
        parts: dict[str, Callable[[], None]] = {
            "recipe": lambda: recipe(size, asked.nanogpt, Path(folder)),
            "training": lambda: training(size, rate, Path(folder)),
            "writing": lambda: writing(size),
            "minutes": lambda: minutes(size, Path(folder)),
        }
        for name, part in parts.items():
            if time.monotonic() - began > LIMIT_S:
                print(f"{name} is left out: {LIMIT_S // 60} minutes are over.", file=sys.stderr)
                continue
            try:
                part()
            except UserError as error:  # a text that cannot be had: the rest can be measured all the same
                print(f"{name}: {error}", file=sys.stderr)
    return 0


def matrices(size: Size) -> float:
    """Floating-point operations a second in products of large bfloat16 matrices: the best of some."""
    a, b = (torch.randn(size.matrix, size.matrix, device=size.device, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(10):
        wait(size)
        began = time.perf_counter()
        for _ in range(4):
            a @ b
        wait(size)
        seconds.append((time.perf_counter() - began) / 4)
    rate = 2 * size.matrix**3 / min(seconds)
    record(size.append, benchmark="gpu matrices", tflops=round(rate / 1e12, 1))
    return rate


def wait(size: Size) -> None:
    """Until the device has done all."""
    if size.device == "cuda":
        torch.cuda.synchronize()


def recipe(size: Size, checkout: Path | None, folder: Path) -> None:
    """From the start of a process on; None where it ended without."""
    text = words({"input_file": size.text} if size.text else {"dataset": "shakespeare"})
    common = [*text, *words({**dict(size.smaller), "device": size.device}), "--overwrite", "--out"]
    own = ["--config", "configs/nanogpt_gpu.toml"]
    fast = ["--size", "small", "--minutes", "0.02" if size.smaller else "1"]
    seconds: dict[str, float | None] = {}
    for name, chosen in {"fast": fast, **({} if size.smaller else {"letterwise": own})}.items():
        command = [sys.executable, "train.py", *chosen, *common, f"{folder}/{name}"]
        seconds[name] = reached(command, ROOT, r"val (\d+\.\d+) nats", size.target)
    if checkout and size.text:
        copy = nanogpt.prepared(checkout, size.text, folder)
        command = [sys.executable, "train.py", "config/train_shakespeare_char.py"]
        seconds["nanoGPT"] = reached(command, copy, r"val loss (\d+\.\d+)", size.target)
    for name, took in seconds.items():
        record(size.append, benchmark="gpu recipe", contender=name, target=size.target, seconds=took)


def words(values: dict[str, Any]) -> list[str]:
    """Keywords as flags of the command line."""
    spelled = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}
    return [word for name, value in spelled.items() for word in (f"--{name}", value)]


def training(size: Size, rate: float, folder: Path) -> None:
    """Steps of the recipes, as they are, and changed in one thing."""
    text = {"input_file": (str(size.large),)} if size.large else {"dataset": "text8"}
    few = {**text, "max_iters": size.steps, "warmup_iters": 1, "eval_interval": size.steps, "eval_chars": 10_000}
    for name in size.recipes:
        for changed in ({}, {"activation_checkpointing": True}, {"compile": False}) if "124m" in name else ({},):
            out = folder / f"{name} {' '.join(changed)}"
            values = {**few, "device": size.device, "save_interval": "60min", **dict(size.smaller), **changed}
            asked = asked_values(values, str(ROOT / f"configs/{name}.toml"))
            train(asked, out=str(out), overwrite=True)
            rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
            rows = [row for row in rows if row.get("kind") == "training"]
            first, last = rows[size.warm - 1], rows[-1]
            speed = (last["chars"] - first["chars"]) / (last["seconds"] - first["seconds"])
            flops = 3 * flops_per_char(resolve(asked).model, len(VOCABULARY))
            figures = {"chars_per_second": round(speed), "share_of_matrix_rate": round(speed * flops / rate, 3)}
            peak = torch.cuda.max_memory_allocated() / 2**30 if size.device == "cuda" else 0.0
            figures |= {"first_step_s": rows[0]["seconds"], "gpu_gib": round(peak, 1)}
            record(size.append, benchmark="gpu training", contender=name, changed=changed, **figures)


def writing(size: Size) -> None:
    """Fresh models: what is written does not matter to speed."""
    for preset in size.presets:
        config = resolve({"preset": preset, "size": "small", **dict(size.smaller)})
        model = initialize(build(config.model, len(VOCABULARY)), seed=0).eval().to(size.device)
        backend = TorchBackend(model, counted() if config.model.counts_order else None)
        for texts in (1, 64):
            speed = writer(backend, size.seconds, texts)(size.chars)
            record(size.append, benchmark="gpu writing", contender=preset, texts=texts, chars_per_second=round(speed))


def minutes(size: Size, folder: Path) -> None:
    """As many for each, all included."""
    text = {"input_file": (str(size.large),)} if size.large else {"dataset": "text8"}
    for preset in ("fast", "llama"):
        values = {**text, "preset": preset, "minutes": size.minutes, "device": size.device, **dict(size.smaller)}
        found = train(values, out=str(folder / preset), overwrite=True)
        nats = found.best_val_nats_per_char
        record(size.append, benchmark="gpu minutes", contender=preset, minutes=size.minutes, val_nats=nats, iters=found.iters)


if __name__ == "__main__":
    sys.exit(main())
