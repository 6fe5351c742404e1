"""Process: what a call changes in the whole process is restored afterwards, since a library runs in other people's programs.

with process_state_kept(): train …  ──▶ PyTorch's threads and random numbers are the caller's again
with one_thread(): generate …       ──▶ its threads are again as many as before
"""

from collections.abc import Generator
from contextlib import contextmanager

import torch


@contextmanager
def process_state_kept() -> Generator[None]:
    """Afterwards PyTorch has as many threads, and goes on with the same random numbers, as before."""
    threads, random_state = torch.get_num_threads(), torch.get_rng_state()
    on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(random_state)
        if on_gpus:
            torch.cuda.set_rng_state_all(on_gpus)


@contextmanager
def one_thread() -> Generator[None]:
    """PyTorch computes with a single thread meanwhile. A character after another is too little for several.

    Where other programs use the processors, these would wait for each other hundreds of times a character (docs/log.md).
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
