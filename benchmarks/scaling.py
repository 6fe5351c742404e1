"""Scaling: what a step takes on many GPUs, by a formula; and what the formula says of processes here, against what they take.

    python -m benchmarks.scaling [--only simulated|checked] [--append benchmarks/results.jsonl]

One step of a model of P parameters on N processes, with B characters in the batch:

    computing   6·P·B/N (and attention's share) at a part of the peak rate; the optimizer, as fast as memory is read and written
    ddp         an all-reduce of 4·P bytes: each process sends 2·(N-1)/N · 4·P, and a bucket of 25 MiB waits for the messages of
                a ring in the machine, 2·(G-1) with G GPUs in it, and of a tree of machines, 2·log2(N/G)
    fsdp        two all-gathers and a reduce-scatter of 4·P bytes: 3·(N-1)/N · 4·P; each waits, block by block, for N-1 messages
    a step      computing + what is sent and is not hidden: behind the backward pass (ddp), or behind all computing (fsdp)

A ring through many machines enters and leaves each by all of its network cards, which together are about as fast as NVLink is
for one GPU. Not in it: slow machines among fast ones, congestion, validations, saves.

The check measures, here, a process alone with the batch and with its half and quarter, and an all-reduce by itself; the formula
then says what 2 and 4 processes take, which is measured, too.
"""

import math
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

from benchmarks.distributed import SAME, rows_of
from benchmarks.record import ROOT, flags, record
from letterwise.config.accounting import flops_per_char, parameters
from letterwise.config.presets import resolve
from letterwise.machine import processors

VOCAB = 100  # different characters
FLOAT = 4  # bytes: gradients and shares are float32
BUCKET = 25 * 2**20  # bytes that DistributedDataParallel sends together
GPUS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
MODELS: dict[str, dict[str, Any]] = {  # width 64 to a head; contexts of 1,024 characters
    "124M": {"n_layer": 12, "n_head": 12, "n_embd": 768},
    "350M": {"n_layer": 24, "n_head": 16, "n_embd": 1024},
    "1.3B": {"n_layer": 24, "n_head": 32, "n_embd": 2048},
    "7B": {"n_layer": 32, "n_head": 64, "n_embd": 4096},
}
SEQUENCES = {"124M": 16, "350M": 16, "1.3B": 8, "7B": 2}  # for each GPU: the batch grows with their number
STEPS = {"max_iters": 30, "eval_interval": 1000}
CHECKED = {"preset": "gpt2", "n_layer": 4, "n_head": 4, "n_embd": 256, "block_size": 128, "threads": 1}
SEQUENCES_HERE = 8


@dataclass(frozen=True)
class Hardware:
    """Assumed of machines with eight H100 and eight network cards: what is reached of the rates on paper."""

    flops: float = 0.4 * 989e12  # a second, bfloat16
    memory: float = 0.8 * 3.35e12  # bytes a second
    inside: float = 0.8 * 450e9  # bytes a second that a GPU sends to its neighbour in the machine
    outside: float = 0.8 * 8 * 50e9  # and a machine to another
    wait_inside: float = 2e-6  # seconds until a message arrives
    wait_outside: float = 10e-6
    gpus: int = 8  # in a machine

    def speed(self, n: int) -> float:
        """Bytes a second that each of `n` GPUs sends in a ring."""
        return self.inside if n <= self.gpus else min(self.inside, self.outside)

    def ring_wait(self, n: int) -> float:
        """Seconds of the messages of a ring, one after another."""
        out = n / self.gpus if n > self.gpus else 0.0  # of them leave a machine
        return (n - 1 - out) * self.wait_inside + out * self.wait_outside

    def tree_wait(self, n: int) -> float:
        """Of an all-reduce: in the machine, then up and down a tree of machines."""
        return 2 * (min(n, self.gpus) - 1) * self.wait_inside + 2 * math.log2(max(1, n / self.gpus)) * self.wait_outside


@dataclass(frozen=True)
class Step:
    """What one step takes: seconds; bytes that each GPU sends."""

    computing: float
    sending: float
    hidden: float
    bytes: float

    @property
    def seconds(self) -> float:
        """In all."""
        return self.computing + self.sending - self.hidden


def simulated(model: str, n: int, parallel: str, hardware: Hardware) -> Step:
    """A step on `n` GPUs."""
    config = resolve({"preset": "llama", "block_size": 1024, "n_kv_head": None, **MODELS[model]}).model
    held, chars = parameters(config, VOCAB).total, SEQUENCES[model] * config.block_size
    training = 3 * flops_per_char(config, VOCAB) * chars / hardware.flops
    updating = 7 * FLOAT * held / (n if parallel == "fsdp" else 1) / hardware.memory  # AdamW: four reads, three writes
    if n == 1:
        return Step(training + updating, 0.0, 0.0, 0.0)
    if parallel == "ddp":
        sent = 2 * (n - 1) / n * FLOAT * held
        waiting = math.ceil(FLOAT * held / BUCKET) * hardware.tree_wait(n)
        behind = training * 2 / 3  # the backward pass
    else:
        sent = 3 * (n - 1) / n * FLOAT * held
        waiting = 3 * (config.n_layer + 1) * hardware.ring_wait(n)
        behind = training
    sending = sent / hardware.speed(n) + waiting
    last = sending / config.n_layer  # of the first block's gradients, or the first block's weights: there is nothing to hide it
    return Step(training + updating, sending, min(behind, sending - last), sent)


def simulate(append: Path | None) -> None:
    """All sizes."""
    hardware = Hardware()
    for model in MODELS:
        for parallel in ("ddp", "fsdp"):
            alone = simulated(model, 1, "ddp", hardware).seconds
            for n in GPUS:
                step = simulated(model, n, parallel, hardware)
                figures = {"gpus": n, "step_ms": round(step.seconds * 1e3, 1), "sending_ms": round(step.sending * 1e3, 1)}
                figures |= {"sent_mb": round(step.bytes / 1e6), "efficiency": round(alone / step.seconds, 3)}
                record(append, benchmark="scaling simulated", contender=f"{model} {parallel}", **figures)


def step_seconds(**wanted: Any) -> float:
    """What a step of a run takes here: the median of the later ones."""
    steps, _ = rows_of({**SAME, **CHECKED, **STEPS, **wanted}, None)
    chars = wanted["batch_size"] * CHECKED["block_size"]
    return chars / statistics.median(row["chars_per_second"] for row in steps[10:])


def all_reduce_seconds(n: int, numbers: int) -> float:
    """What the sum of so many float32 over `n` processes takes here, with nothing else to do."""
    script = f"from benchmarks.scaling import reduce_here; reduce_here({numbers})"
    words = ["torchrun", "--standalone", "--nproc_per_node", str(n), "--no_python", sys.executable, "-c", script]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    return max(float(line) for line in done.stdout.split())


def reduce_here(numbers: int) -> None:
    """In each of the processes."""
    dist.init_process_group("gloo")
    tensor, took = torch.ones(numbers), []
    for _ in range(12):
        dist.barrier()
        began = time.perf_counter()
        dist.all_reduce(tensor)
        took.append(time.perf_counter() - began)
    print(statistics.median(took[2:]))
    dist.destroy_process_group()


def check(append: Path | None) -> None:
    """The formula with what is measured here, against what is measured here."""
    config = resolve({name: value for name, value in CHECKED.items() if name != "threads"}).model
    numbers = parameters(config, VOCAB).total
    for n in (1, 2, 4):
        taken = step_seconds(batch_size=SEQUENCES_HERE, processes=n)
        share = step_seconds(batch_size=SEQUENCES_HERE // n) if n > 1 else taken
        waiting = max(1.0, n / processors())  # for a processor
        sending = all_reduce_seconds(n, numbers) if n > 1 else 0.0
        said = {
            "computing_ms": share * waiting * 1e3,
            "sending_ms": sending * 1e3,
            "formula_ms": (share * waiting + sending) * 1e3,
        }
        said = {name: round(value, 1) for name, value in said.items()}
        ratio = round((share * waiting + sending) / taken, 3)
        record(
            append,
            benchmark="scaling checked",
            contender=f"{n} processes",
            **said,
            measured_ms=round(taken * 1e3, 1),
            ratio=ratio,
        )


def main() -> None:
    """What was asked for."""
    parser = flags(__doc__ or "")
    parser.add_argument("--only", choices=("simulated", "checked"))
    asked = parser.parse_args()
    if asked.only != "checked":
        simulate(asked.append)
    if asked.only != "simulated":
        check(asked.append)


if __name__ == "__main__":
    main()
