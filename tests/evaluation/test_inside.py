"""Inside: logits are those of reading one character at a time, and attention is what mixes the values, for every preset."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from priors import beside, counted
from test_prior import SHAPE, lively

from letterwise.api import LanguageModel
from letterwise.config.presets import PRESETS
from letterwise.errors import UserError
from letterwise.evaluation.inside import attention, embedding_map, lens, logits
from letterwise.inference.engine import Sequence
from letterwise.inference.torch_backend import TorchBackend
from letterwise.model.attention import Attention

IDS = np.random.default_rng(2).integers(0, 13, 11)


def model_and_counts(preset: str):
    flags = {**SHAPE, **PRESETS[preset], **({"n_kv_head": 2} if preset == "llama" else {})}
    model = lively(preset=preset, **flags)
    order = model.config.counts_order
    return model, counted(np.random.default_rng(0).integers(0, 13, 300), 13, order) if order else None


@pytest.mark.parametrize("preset", PRESETS)
def test_logits_are_those_of_reading_on(preset: str) -> None:
    model, counts = model_and_counts(preset)
    sequence, read_with = Sequence(TorchBackend(model, counts)), beside(model, counts)
    one_by_one = np.array([sequence.read([id]) for id in IDS.tolist()])
    for given in (IDS, IDS.tolist(), torch.from_numpy(IDS)):
        np.testing.assert_allclose(logits(read_with, given), one_by_one, rtol=1e-3, atol=1e-3)
    both = logits(read_with, np.array([IDS[:6], IDS[5:]]))
    torch.testing.assert_close(both[0], logits(read_with, IDS[:6]), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("preset", PRESETS)
def test_attention_is_what_mixes_the_values(preset: str) -> None:
    """The oracle: each attention's own output, which PyTorch's fused kernel makes without ever writing the weights out."""
    model, counts = model_and_counts(preset)
    said: list[tuple[Attention, torch.Tensor, object, torch.Tensor]] = []
    hooks = [b.attention.register_forward_hook(lambda part, x, y: said.append((part, x[0], x[1], y))) for b in model.blocks]
    weights = attention(beside(model, counts), IDS)
    for hook in hooks:
        hook.remove()
    layers, heads = model.config.n_layer, model.config.n_head
    assert weights.shape == (layers, heads, len(IDS), len(IDS))
    torch.testing.assert_close(weights.sum(-1), torch.ones(layers, heads, len(IDS)))
    assert (weights.triu(1) == 0).all()
    assert len(said) == layers
    for mine, (part, x, angles, y) in zip(weights, said, strict=True):
        with torch.inference_mode():
            v = part.project(x, angles)[2][0].repeat_interleave(heads // model.config.kv_heads, dim=0)
            mixed = torch.stack([mine[h] @ v[h] for h in range(heads)])  # (H T D)
            torch.testing.assert_close(part.out(mixed.transpose(0, 1).flatten(-2)), y[0], rtol=1e-4, atol=1e-5)
    assert not any(part._forward_pre_hooks for part in model.modules())


def test_what_a_person_asks(tiny: LanguageModel, tiny_lines: LanguageModel) -> None:
    for model, text in ((tiny, "The cat sat on"), (tiny_lines, "bake")):
        ids = model.vocabulary.encode(text)
        torch.testing.assert_close(model.logits(text), model(ids))
        torch.testing.assert_close(model(torch.from_numpy(ids.astype(np.int64))), model(ids.tolist()))
        assert model.attention(text).shape == (model.config.model.n_layer, 2, len(text), len(text))
    (line,) = tiny.score("The cat")
    costs = -tiny.logits("The cat").log_softmax(-1)[torch.arange(6), tiny.vocabulary.encode("The cat")[1:].astype(int)]
    np.testing.assert_allclose(line.characters.bits[1:], costs / np.log(2), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("ids", "sentence"),
    [
        ([], "not one text or several"),
        ([0.5], "not one text or several"),
        ([[[1]]], "not one text or several"),
        ([0] * 33, "33 characters does not fit the context of 32"),
        ([27], "id 27 is not in this vocabulary"),
        ([-1], "id -1 is not in this vocabulary"),
    ],
)
def test_what_cannot_be(tiny: LanguageModel, ids: list, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        tiny(ids)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_lens_ends_in_the_logits(preset: str) -> None:
    model, counts = model_and_counts(preset)
    read_with = beside(model, counts)
    stages = lens(read_with, IDS)
    assert stages.shape == (model.config.n_layer + 1, len(IDS), 13)
    torch.testing.assert_close(stages[-1], logits(read_with, IDS), rtol=0, atol=0)
    assert not any(part._forward_hooks for part in model.modules())


@pytest.mark.parametrize("preset", PRESETS)
def test_the_lens_is_the_model_without_its_later_blocks(preset: str) -> None:
    """The oracle: the same model, from which blocks were taken away."""
    model, counts = model_and_counts(preset)
    read_with = beside(model, counts)
    stages, blocks = lens(read_with, IDS), model.blocks
    try:
        for n in range(len(blocks) + 1):
            model.blocks = blocks[:n]
            torch.testing.assert_close(stages[n], logits(read_with, IDS), rtol=1e-5, atol=1e-5)
    finally:
        model.blocks = blocks
    assert not len(blocks) or (stages[0] - stages[-1]).abs().max() > 0.1


def test_the_map_of_an_embedding_is_its_first_two_principal_components() -> None:
    """The oracle: eigenvectors of the covariance. Turning all axes or the embedding's sign changes no distance in the map."""
    embedding = np.random.default_rng(0).normal(size=(40, 7)) * np.array([9, 5, 1, 1, 1, 1, 1])
    found = embedding_map(embedding.astype(np.float32))
    variances, axes = np.linalg.eigh(np.cov(embedding.T, bias=True))
    projected = (embedding - embedding.mean(0)) @ axes[:, [-1, -2]]
    np.testing.assert_allclose(np.abs(found.points), np.abs(projected), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.explained, variances[[-1, -2]] / variances.sum(), rtol=1e-4)
    assert (found.points.max(0) == np.abs(found.points).max(0)).all()
    np.testing.assert_allclose(embedding_map(-embedding).points, embedding_map(embedding).points)


@pytest.mark.parametrize("shape", [(1, 4), (5, 1), (2, 2)])
def test_the_map_of_what_has_no_plane(shape: tuple[int, int]) -> None:
    found = embedding_map(np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape))
    assert found.points.shape == (shape[0], 2)
    np.testing.assert_allclose(found.points[:, 1], 0, atol=1e-9)
    assert found.explained == pytest.approx((float(shape[0] > 1), 0.0))


def test_the_lens_takes_one_text(tiny: LanguageModel) -> None:
    for ids, sentence in (([], "not one text"), ([[1]], "not one text"), ([0] * 33, "does not fit"), ([27], "id 27 is not")):
        with pytest.raises(UserError, match=sentence):
            lens(tiny.text_model, ids)


def test_two_who_look_at_once_see_what_each_would_alone() -> None:
    """On a server, threads read with one model at the same time."""
    model, counts = model_and_counts("fast")
    read_with, asked = beside(model, counts), {"attention": attention, "lens": lens}
    alone = {name: look(read_with, IDS) for name, look in asked.items()}
    with ThreadPoolExecutor(4) as threads:
        found = [(name, threads.submit(look, read_with, IDS)) for _ in range(30) for name, look in asked.items()]
    for name, future in found:
        torch.testing.assert_close(future.result(), alone[name], rtol=1e-4, atol=1e-5)
