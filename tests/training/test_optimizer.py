"""Optimizers: each against its definition written out, and every weight in exactly one place."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from priors import log_prior
from torch import Tensor

from letterwise.checkpoint.weights import as_arrays
from letterwise.config.presets import PRESETS, resolve
from letterwise.loss import cross_entropy
from letterwise.model import Transformer, build, initialize
from letterwise.training.optimizers import optimizer
from letterwise.training.optimizers.muon import COEFFICIENTS, Muon, orthogonalize
from letterwise.training.optimizers.optimizer import Optimizers, build_optimizers

V = 7
OPTIMIZERS = ["adamw", "muon", "sgd", "adafactor"]
SHAPES = [(8, 8), (4, 12), (12, 4), (1, 6), (6, 1), (1, 1)]


def small(**flags) -> tuple[Transformer, Optimizers]:
    """A small model, lively at every weight, and what steps it."""
    config = resolve({"n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 8, "dropout": 0.0, **flags})
    model = initialize(build(config.model, V), 0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
    return model, build_optimizers(model, config.training)


def give_gradients(model: Transformer, seed: int, length: float = 1.0) -> dict[str, np.ndarray]:
    """Gradients out of the blue, `length` long each; a copy to work with on paper."""
    generator = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        drawn = torch.randn(weight.shape, generator=generator)
        weight.grad = drawn / drawn.norm() * length
    return {name: weight.grad.double().numpy().copy() for name, weight in model.named_parameters()}


def weights_of(model: Transformer) -> dict[str, np.ndarray]:
    return {name: weight.detach().double().numpy().copy() for name, weight in model.named_parameters()}


def near_orthogonal(matrix: np.ndarray) -> np.ndarray:
    """What five Newton-Schulz steps do, by the singular value decomposition: U and V stay, s goes through the quintic."""
    a, b, c = COEFFICIENTS
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    s = s / (np.linalg.norm(matrix) + 1e-7)
    for _ in range(5):
        s = a * s + b * s**3 + c * s**5
    return u * s @ vt


def with_singular_values(shape: tuple[int, int], seed: int, smallest: float) -> Tensor:
    """A matrix with singular values spread from 1 down to `smallest`."""
    generator = torch.Generator().manual_seed(seed)
    u, _, vt = torch.linalg.svd(torch.randn(shape, generator=generator), full_matrices=False)
    return u * torch.linspace(1, smallest, min(shape)) @ vt


@pytest.mark.parametrize("shape", SHAPES)
@given(seed=st.integers(0, 999), size=st.sampled_from([1e-3, 1.0, 1e3]))
@settings(max_examples=15)
def test_orthogonalize_brings_all_directions_to_one_length(shape: tuple[int, int], seed: int, size: float) -> None:
    got = orthogonalize(with_singular_values(shape, seed, 0.05)[None] * size, torch.float32)[0]
    lengths = torch.linalg.svdvals(got)
    assert lengths.min() >= 0.68
    assert lengths.max() <= 1.22


@pytest.mark.parametrize("shape", SHAPES)
def test_orthogonalize_keeps_the_directions(shape: tuple[int, int]) -> None:
    matrix = with_singular_values(shape, 3, 0.05)
    got = orthogonalize(matrix[None], torch.float32)[0]
    np.testing.assert_allclose(got.numpy(), near_orthogonal(matrix.double().numpy()), atol=1e-4)
    u, _, vt = torch.linalg.svd(matrix, full_matrices=False)
    nearest = u @ vt
    assert torch.cosine_similarity(got.flatten(), nearest.flatten(), dim=0) > 0.97


def test_orthogonalize_leaves_missing_directions_missing() -> None:
    """A matrix of rank 1 stays one, and nothing comes of nothing."""
    rank_one = torch.outer(torch.arange(1.0, 5.0), torch.arange(1.0, 7.0))
    lengths = torch.linalg.svdvals(orthogonalize(rank_one[None], torch.float32)[0])
    assert 0.68 <= lengths[0] <= 1.22
    assert lengths[1:].max() < 1e-3
    assert not orthogonalize(torch.zeros(2, 3, 4), torch.float32).any()


def test_orthogonalize_takes_each_matrix_of_a_batch_alone() -> None:
    batch = (
        torch.randn(5, 12, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([1e-2, 1, 3, 10, 1e2])[:, None, None]
    )
    alone = torch.cat([orthogonalize(one[None], torch.float32) for one in batch])
    torch.testing.assert_close(orthogonalize(batch, torch.float32), alone, rtol=1e-4, atol=1e-5)


def test_orthogonalize_in_bfloat16_gives_back_what_it_was_given() -> None:
    matrix = with_singular_values((12, 4), 1, 0.2)
    got = orthogonalize(matrix[None], torch.bfloat16)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, orthogonalize(matrix[None], torch.float32), rtol=0, atol=0.05)


def test_muon_steps_as_defined() -> None:
    """Two steps on paper: m ← 0.9m + 0.1g; u = 0.9m + 0.1g; W ← (1 - lr·decay)·W - lr·√max(1, rows/cols)·orthogonal(u)."""
    rng = np.random.default_rng(0)
    shapes = [(3, 5), (8, 2), (3, 5), (4, 4)]
    on_paper = [rng.normal(size=shape) for shape in shapes]
    matrices = [torch.nn.Parameter(torch.tensor(w, dtype=torch.float32)) for w in on_paper]
    muon = Muon(matrices, lr=0.1, weight_decay=0.5, momentum=0.9, dtype=torch.float32)
    momenta = [np.zeros(shape) for shape in shapes]
    for _ in range(2):
        for i, shape in enumerate(shapes):
            g = rng.normal(size=shape)
            matrices[i].grad = torch.tensor(g, dtype=torch.float32)
            momenta[i] = 0.9 * momenta[i] + 0.1 * g
            step = near_orthogonal(0.9 * momenta[i] + 0.1 * g) * max(1, shape[0] / shape[1]) ** 0.5
            on_paper[i] = (1 - 0.1 * 0.5) * on_paper[i] - 0.1 * step
        muon.step()
    for matrix, expected in zip(matrices, on_paper, strict=True):
        np.testing.assert_allclose(matrix.detach().numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("native", [True, False])
def test_muon_is_as_precise_as_training(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bfloat16 only where training takes it, too: in float32, a gradient's last bit moves a step by no more than a bit does."""
    monkeypatch.setattr(optimizer, "native_bfloat16", lambda device: native)
    model, config = small()[0], resolve({}).training
    for dtype, expected in ((torch.float32, False), (torch.bfloat16, native)):
        muon = build_optimizers(model, config, dtype=dtype).optimizers[0]
        assert isinstance(muon, Muon)
        assert muon.dtype == (torch.bfloat16 if expected else torch.float32)


def test_muon_leaves_a_matrix_without_gradient() -> None:
    still, moving = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2, 2))
    moving.grad = torch.eye(2)
    Muon([still, moving], lr=0.1, weight_decay=0.5, dtype=torch.float32).step()
    assert (still == 1).all()
    assert (moving != 1).any()


def test_adamw_steps_as_defined() -> None:
    """Two steps on paper (Loshchilov & Hutter 2019, algorithm 2): matrices decay, vectors do not, betas are the flags'."""
    model, optimizers = small(preset="classic", learning_rate=0.01, weight_decay=0.3, beta1=0.8, beta2=0.9, grad_clip=0)
    expected = weights_of(model)
    mean, square = ({name: np.zeros_like(w) for name, w in expected.items()} for _ in range(2))
    for step in (1, 2):
        for name, g in give_gradients(model, step).items():
            mean[name] = 0.8 * mean[name] + 0.2 * g
            square[name] = 0.9 * square[name] + 0.1 * g**2
            kept = 1 - 0.01 * 0.3 if g.ndim >= 2 else 1
            move = mean[name] / (1 - 0.8**step) / (np.sqrt(square[name] / (1 - 0.9**step)) + 1e-8)
            expected[name] = kept * expected[name] - 0.01 * move
        optimizers.step()
    for name, weight in weights_of(model).items():
        np.testing.assert_allclose(weight, expected[name], atol=1e-6, err_msg=name)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_weight_has_exactly_one_optimizer(preset: str, optimizer: str) -> None:
    model, optimizers = small(**{"preset": preset, **PRESETS[preset], "optimizer": optimizer})
    held = [id(p) for one in optimizers.optimizers for group in one.param_groups for p in group["params"]]
    assert len(held) == len(set(held))
    assert set(held) == {id(p) for p in model.parameters()}
    orthogonal = [p for one in optimizers.optimizers if isinstance(one, Muon) for p in one.param_groups[0]["params"]]
    blocks = {id(p) for p in model.blocks.parameters() if p.ndim == 2}
    assert {id(p) for p in orthogonal} == (blocks if optimizer == "muon" else set())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_decay_pulls_matrices_and_nothing_else(optimizer: str) -> None:
    """A gradient of zero leaves decay alone: W ← (1 - rate·decay)·W. Beta1 is 0, as sgd's momentum would carry decay on."""
    rates = dict(learning_rate=0.01, matrix_learning_rate=0.02, weight_decay=0.5, beta1=0.0)
    model, optimizers = small(preset="classic", optimizer=optimizer, **rates)
    before = weights_of(model)
    give_gradients(model, 0, length=0.0)
    optimizers.step()
    for name, weight in weights_of(model).items():
        inside = name.startswith("blocks.") and weight.ndim == 2
        rate = 0.02 * inside if optimizer == "muon" else 0.01 * (weight.ndim == 2)
        np.testing.assert_allclose(weight, (1 - rate * 0.5) * before[name], rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_rates_follow_the_schedules_factor(optimizer: str) -> None:
    _, optimizers = small(optimizer=optimizer, learning_rate=0.4, matrix_learning_rate=0.2)
    peaks = {"muon": [0.2, 0.4]}.get(optimizer, [0.4, 0.4])
    for factor in (0.5, 0.0, 1.0):
        optimizers.set_learning_rate(factor)
        rates = [group["lr"] for one in optimizers.optimizers for group in one.param_groups]
        assert rates == pytest.approx([factor * peak for peak in peaks])


def test_a_long_gradient_is_shortened_and_a_short_one_is_not() -> None:
    """Plain SGD moves by rate times gradient, so that the whole move has the length of the clipped gradient."""
    for length, clip, expected in ((10.0, 0.25, 0.25), (0.01, 0.25, None), (10.0, 0, None)):
        model, optimizers = small(optimizer="sgd", learning_rate=1.0, beta1=0.0, weight_decay=0.0, grad_clip=clip)
        before = weights_of(model)
        whole = np.sqrt(sum((g**2).sum() for g in give_gradients(model, 0, length).values()))
        optimizers.step()
        moved = np.sqrt(sum(((weight - before[name]) ** 2).sum() for name, weight in weights_of(model).items()))
        assert moved == pytest.approx(expected or whole, rel=1e-4)


def test_muons_own_matrices_are_not_shortened_with_the_rest() -> None:
    """Their step has one length whatever the gradient's: only the other weights' gradients are clipped."""
    model, optimizers = small(optimizer="muon", grad_clip=0.25)
    give_gradients(model, 0, 10.0)
    torch.nn.utils.clip_grad_norm_(optimizers.clipped, optimizers.grad_clip)
    inside = {id(p) for p in model.blocks.parameters() if p.ndim == 2}
    rest = torch.stack([p.grad.norm() for p in model.parameters() if id(p) not in inside])
    assert rest.norm().item() == pytest.approx(0.25, rel=1e-4)
    assert all(p.grad.norm().item() == pytest.approx(10, rel=1e-4) for p in model.parameters() if id(p) in inside)


def learn(model: Transformer, optimizers: Optimizers, steps: int) -> list[float]:
    """Losses on one sequence, met again and again."""
    ids = torch.tensor([[0, 3, 1, 4, 1, 5, 2, 6, 5]])
    told = []
    for _ in range(steps):
        nats = cross_entropy(model(ids[:, :-1], log_prior=log_prior(model, ids[:, :-1])), ids[:, 1:])
        nats.backward()
        optimizers.step()
        told.append(nats.item())
    return told


@pytest.mark.parametrize("preset", ["gpt2", "fast"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_each_lowers_the_loss(optimizer: str, preset: str) -> None:
    rate = {"sgd": 0.1, "adafactor": 0.05}.get(optimizer, 0.01)
    model, optimizers = small(preset=preset, optimizer=optimizer, learning_rate=rate)
    told = learn(model, optimizers, 30)
    assert told[-1] < 0.5 * told[0]
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_stored_state_continues_as_if_never_stopped(optimizer: str) -> None:
    model, optimizers = small(optimizer=optimizer)
    learn(model, optimizers, 3)
    stored = copy.deepcopy((model.state_dict(), optimizers.tensors()))
    onward = learn(model, optimizers, 4)
    resumed, again = small(optimizer=optimizer)
    resumed.load_state_dict(stored[0])
    again.load_arrays(as_arrays(stored[1]))
    assert learn(resumed, again, 4) == onward
    fresh, forgetful = small(optimizer=optimizer)
    fresh.load_state_dict(stored[0])
    assert learn(fresh, forgetful, 4) != onward  # weights alone are not enough


def test_optimizers_do_without_pytorchs_compiler() -> None:
    """Whose import takes a second: in a process of its own, through all that a run asks of an optimizer."""
    program = f"""
import sys
from letterwise.checkpoint.weights import as_arrays
from letterwise.config.presets import resolve
from letterwise.model import build, initialize
from letterwise.training.optimizers.optimizer import build_optimizers
for name in {OPTIMIZERS}:
    config = resolve(dict(n_layer=1, n_head=1, n_embd=8, block_size=8, optimizer=name))
    model = initialize(build(config.model, 3), 0)
    optimizers = build_optimizers(model, config.training)
    for weight in model.parameters():
        weight.grad = weight.detach() + 1
    before = [weight.detach().clone() for weight in model.parameters()]
    optimizers.step()
    assert all((old != new).any() for old, new in zip(before, model.parameters()) if new.ndim > 1)
    optimizers.load_arrays(as_arrays(optimizers.tensors()))
assert "torch._dynamo" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
