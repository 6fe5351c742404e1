"""Waiting: how the threads of OpenMP, which PyTorch computes with, wait for each other. Decided before PyTorch is loaded.

    cgroup CPU quota, the user's own OMP_… ──share_processors──▶ environment ──▶ PyTorch, when it is loaded

By default a thread that has finished its part keeps its processor busy for a millisecond or more, until the others have
finished, too. Where another program has one of their processors, that is most of the time (docs/log.md). So they wait a tenth
of a millisecond, and then sleep. Where one of these variables is set, or PyTorch is loaded already, nothing is changed.
"""

import os
import sys
from collections.abc import MutableMapping

from letterwise.machine import allowed, processors

SPINS = "20000"  # turns of GNU's loop, some 100 µs: fewer cost an idle machine 5 to 25 %
BLOCK_MS = "1"  # Intel's and LLVM's minimum beside 0


def share_processors(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let OpenMP's threads sleep instead of spin, and be no more than a CPU quota lets run."""
    if "torch" in sys.modules:
        return
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", SPINS)
        environment.setdefault("KMP_BLOCKTIME", BLOCK_MS)
    if "OMP_NUM_THREADS" not in environment and processors() < allowed():
        environment["OMP_NUM_THREADS"] = str(processors())
