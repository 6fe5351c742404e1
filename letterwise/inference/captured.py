"""Captured: a function of tensors whose shapes never change, recorded once by a GPU and replayed without Python: a CUDA graph.

inputs ──copied to where they were when it was recorded──▶ replay ──▶ the result, where it was then

A character of a small model is a few hundred short programs for a GPU: starting each from Python takes longer than they do.
"""

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 3  # calls before it is recorded: what libraries set up on the first ones is not to be in it
Function = Callable[..., Tensor]


def captured(function: Function, inputs: list[Tensor]) -> Function:
    """`function` of tensors like `inputs`, recorded on their GPU: the same programs, so the same bits.

    The result is overwritten by the next call. Raises `RuntimeError` where it cannot be recorded.
    """
    here, aside = torch.cuda.current_stream(inputs[0].device), torch.cuda.Stream(inputs[0].device)
    aside.wait_stream(here)
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP):
            function(*inputs)
    here.wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may use the GPU meanwhile
        result = function(*inputs)

    def replay(*values: Tensor) -> Tensor:
        for held, value in zip(inputs, values, strict=True):
            held.copy_(value)
        graph.replay()
        return result

    return replay
