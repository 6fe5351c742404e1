"""Letterwise in several processes, as torchrun starts them."""

import os
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

from forked import started

ROOT = Path(__file__).parents[2]
FLAGS = dict(n_layer=2, n_head=2, n_embd=16, block_size=16, batch_size=6, max_iters=24, warmup_iters=4, eval_interval=12)
FLAGS |= dict(dropout=0.0, device="cpu", dtype="float32")  # what is dropped depends on the process


def environment(**more: str) -> dict[str, str]:
    """One thread for each process; whatever may be left of another launch is gone."""
    own = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE", "LETTERWISE_ATTEMPT")}
    return {**own, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", **more}


def spelled(flags: dict[str, object]) -> list[str]:
    """Keywords as flags of the command line."""
    return [word for name, value in flags.items() for word in (f"--{name}", *([] if value is True else [str(value)]))]


def torchrun(processes: int, flags: dict[str, object]) -> subprocess.CompletedProcess[str]:
    """`torchrun --nproc_per_node PROCESSES -m letterwise train --FLAGS`."""
    engine = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command = [sys.executable, *engine, "-m", "letterwise", "train", *spelled(flags)]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=600, check=False)


def together(processes: int, flags: dict[str, object]) -> list[tuple[int, str, str]]:
    """The same, by forks of this process, without torchrun: what each ends with and says. They load nothing."""
    with socket.create_server(("localhost", 0)) as listening:
        port = listening.getsockname()[1]
    begun = []
    for rank in range(processes):
        own = {"RANK": rank, "WORLD_SIZE": processes, "MASTER_ADDR": "localhost", "MASTER_PORT": port}
        own |= {"LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": processes}
        variables = {name: str(value) for name, value in own.items()}
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        begun.append(started(["train", *spelled(flags)], partial(os.environ.update, variables), **streams))
    said = [process.communicate(timeout=600) for process in begun]
    return [(process.returncode, *each) for process, each in zip(begun, said, strict=True)]


def letterwise_processes(processes: int, flags: dict[str, object]) -> list[str]:
    """The command `letterwise train --processes PROCESSES --FLAGS`."""
    return [sys.executable, "-m", "letterwise", "train", "--processes", str(processes), *spelled(flags)]
