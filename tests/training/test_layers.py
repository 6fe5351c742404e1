"""Layers: computed again or compiled, they learn the same, to the last bit."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from priors import log_prior
from torch import Tensor
from training.steps import flags, same_state

from letterwise.config.presets import resolve
from letterwise.model import Transformer, build, initialize
from letterwise.runtime.layers import recompute
from letterwise.training.optimizers.multi_token import MultiTokenHead
from letterwise.training.optimizers.objective import Objective
from letterwise.training.prepare import train

V = 11
SMALL = dict(n_layer=3, n_head=2, n_kv_head=1, n_embd=16, block_size=8, zero_output=False)


def lively(**values: Any) -> Transformer:
    """A small model in training; the same one each time."""
    return initialize(build(resolve({**SMALL, **values}).model, V), 0).train()


def learned(model: Transformer, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """The loss of a batch, and all gradients."""
    ids = torch.randint(V, (4, 9), generator=torch.Generator().manual_seed(1))
    objective = Objective(model, MultiTokenHead(model))
    torch.manual_seed(2)
    with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
        loss, _ = objective(ids[:, :-1], ids[:, 1:], log_prior(model, ids[:, :-1]), None, 0.3, lambda: None)
    loss.backward()
    return [loss.detach(), *(p.grad for p in model.parameters() if p.grad is not None)]


def same(one: list[Tensor], other: list[Tensor]) -> None:
    assert len(one) == len(other)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("dropout", [dict(dropout=0.0), dict(dropout=0.3), dict(dropout=0.3, shared_dropout=False)])
@pytest.mark.parametrize("preset", ["fast", "classic", "llama"])
def test_the_same_loss_and_gradients_to_the_bit(preset: str, dropout: dict, dtype: torch.dtype) -> None:
    whole, again = (lively(preset=preset, **dropout) for _ in range(2))
    computed = [0]
    for block in again.blocks:
        block.attention.register_forward_hook(lambda *parts: computed.__setitem__(0, computed[0] + 1))
        recompute(block, random=dropout["dropout"] > 0)
    same(learned(whole, dtype), learned(again, dtype))
    assert computed == [2 * len(again.blocks)], "each block once forward, and once again for its gradient"
    again.eval()
    with torch.no_grad():
        ids = torch.zeros(1, 3, dtype=torch.long)
        again(ids, log_prior=log_prior(again, ids))
    assert computed == [3 * len(again.blocks)]


COMPILED = """
import sys
from functools import partial
import torch
from torch._dynamo.testing import CompileCounter
from letterwise.training.prepare import train

graphs = CompileCounter()
torch.compile = partial(torch.compile, backend=graphs, fullgraph=True)
train({wanted}, out=sys.argv[1])
print(graphs.frame_count)
"""


def test_a_run_is_compiled_once_and_is_the_same(text_file: Path, tmp_path: Path) -> None:
    """By PyTorch's compiler without its code generator: only training has graphs, one for all its blocks.

    Without dropout: that it drops the same numbers again is the generator's affair. In a process of its own, which checks no
    shapes: the compiler does not get past that.
    """
    wanted = flags(text_file, preset="llama", max_iters=4, eval_interval=4, warmup_iters=1, dtype="float32", threads=1)
    train(wanted, out=str(tmp_path / "plain"))
    program = COMPILED.format(wanted={**wanted, "compile": True, "activation_checkpointing": True})
    command = [sys.executable, "-c", program, str(tmp_path / "compiled")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 1
    same_state(tmp_path / "plain", tmp_path / "compiled")


def test_a_run_is_the_same(text_file: Path, tmp_path: Path) -> None:
    wanted = flags(text_file, max_iters=12, eval_interval=12, warmup_iters=2, dropout=0.1)
    for name in ("whole", "again"):
        train({**wanted, "activation_checkpointing": name == "again"}, out=str(tmp_path / name))
    same_state(tmp_path / "whole", tmp_path / "again")
