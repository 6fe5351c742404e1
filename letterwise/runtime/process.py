"""Process: what a call changes in the whole process is restored afterwards, since a library runs in other people's programs.

with process_state_kept(): train …  ──▶ PyTorch's threads and random numbers are the caller's again
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
