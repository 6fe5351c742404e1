"""Launch: the same command in several processes on this machine, started by torchrun's own engine.

command line, N ──PyTorch's elastic agent──▶ N processes ──▶ one exit code        a process was killed? all begin again

Where one process is killed, the others cannot go on. Then all are started again, and resume from what was saved. Each time
that is a new agent: one that starts its own processes again can wait for ever after an unclean end (PyTorch 2.13).
"""

import logging
import os
import signal
import sys
import time
import uuid

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from letterwise.distributed.environment import ATTEMPT, LOST
from letterwise.machine import processors
from letterwise.progress import Note

QUICK_S, MAX_QUICK = 60, 10  # attempts shorter than this, in a row: then something else is wrong
SAVING_S = 600  # that a process may take to save when it is asked to end


def launch(arguments: list[str], processes: int, note: Note) -> int:
    """`letterwise ARGUMENTS` in so many processes; their exit code, which is that of the first to end by itself.

    A signal is passed on to all of them.
    """
    name, quick = str(uuid.uuid4()), 0
    for logger in ("torch.distributed.elastic", "torch.distributed.launcher"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)  # they print tables; ours are sentences
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"  # each attempt has a store of its own
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, processors() // processes)))
    for attempt in range(sys.maxsize):
        os.environ[ATTEMPT], began = str(attempt), time.monotonic()
        try:
            elastic_launch(_configuration(name, processes), sys.executable)("-m", "letterwise", *arguments)
            return 0
        except SignalException as ended:
            return 128 + ended.sigval
        except ChildFailedError as failed:
            codes = {failure.local_rank: failure.exitcode for failure in failed.failures.values()}
        if own := [code for code in codes.values() if code > 0 and code != LOST]:
            return own[0]
        quick = quick + 1 if time.monotonic() - began < QUICK_S else 0
        if quick > MAX_QUICK:
            note(f"processes were killed {quick} times in a row: is there enough memory? --resume goes on from what was saved.")
            return 1
        note(f"{_killed(codes)}: starting all {processes} again, from what was saved.")
    return 1


def _configuration(name: str, processes: int) -> LaunchConfig:
    return LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=name,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        shutdown_timeout=SAVING_S,
    )


def _killed(codes: dict[int, int]) -> str:
    """Who was killed, and by what. SIGTERM is what the agent sends to those that are left."""
    found = {rank: signal.Signals(-code).name for rank, code in codes.items() if code < 0 and -code != signal.SIGTERM}
    return ", and ".join(f"process {rank} was ended by {name}" for rank, name in found.items()) or "a process was lost"
