"""ONNX: a graph that onnxruntime and transformers.js run, with the KV cache as inputs and outputs.

    ids (B T), past keys and values (B K S D) of each layer ──model──▶ logits (B T V), keys and values (B K S+T D)

ModelFile ──its own transformer, with a cache that is a function──torch.onnx──▶ onnx/model.onnx, tokenizer
"""

import logging
import math
import os
import tempfile
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from letterwise.checkpoint.model_file import ModelFile
from letterwise.checkpoint.weights import restore_one
from letterwise.errors import UserError
from letterwise.interop.exporting.descriptions import write_descriptions
from letterwise.model import Transformer
from letterwise.model.kv_cache import CacheStep, LayerCache
from letterwise.progress import Note
from letterwise.shapes import Float, Int

OPSET = 20
MAX_BYTES = 2**31 - 2**24  # of protobuf, less what is not weights
TRACED = (2, 3, 5)  # sequences, characters and characters before them that the graph is traced with; none of them is kept


class GrownLayer(LayerCache):
    """The keys and values of a layer, of S characters: those of what is read are put behind them, in new tensors."""

    def __init__(self, keys: Float[Tensor, "B K S D"], values: Float[Tensor, "B K S D"]) -> None:
        self.keys, self.values = keys, values

    def attend(
        self, q: Float[Tensor, "B H T D"], k: Float[Tensor, "B K T D"], v: Float[Tensor, "B K T D"]
    ) -> Float[Tensor, "B H T D"]:
        """softmax(q·kᵀ / √D) · v over all S + T characters, none of which sees past itself."""
        before = self.keys.size(2)
        self.keys, self.values = torch.cat((self.keys, k), dim=2), torch.cat((self.values, v), dim=2)
        keys, values = (t.repeat_interleave(q.size(1) // k.size(1), dim=1) for t in (self.keys, self.values))
        asked, read = torch.arange(q.size(2)) + before, torch.arange(keys.size(2))
        future = (read[None, :] > asked[:, None]) * torch.finfo(q.dtype).min
        return (q @ keys.mT / math.sqrt(q.size(-1)) + future).softmax(-1) @ values


class GrownCache(CacheStep):
    """T characters behind S others, of each text of a batch as many: their positions, and each layer's keys and values."""

    def __init__(self, ids: Int[Tensor, "B T"], past: Sequence[Tensor]) -> None:
        before = past[0].size(2) if past else 0
        self.positions = (torch.arange(ids.size(1)) + before).expand_as(ids)
        self.layers = [GrownLayer(*pair) for pair in zip(past[::2], past[1::2], strict=True)]


class Graph(nn.Module):
    """A transformer as a function of its cache."""

    def __init__(self, transformer: Transformer) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(
        self, input_ids: Int[Tensor, "B T"], past: list[Tensor], log_prior: Float[Tensor, "B T N E"] | None = None
    ) -> tuple[Tensor, ...]:
        """Logits (B, T, V), and keys and values of each layer, those of `past` first."""
        cache = GrownCache(input_ids, past)
        logits = self.transformer(input_ids, cache, log_prior)
        return (logits, *(tensor for layer in cache.layers for tensor in (layer.keys, layer.values)))


def write(file: ModelFile, folder: Path, *, weights: str = "float32", note: Note) -> None:
    """Write the folder's files. Raises `UserError` for other weights than float32, and for half a character."""
    if weights != "float32":
        raise UserError(f"--to onnx has no --weights {weights}: it writes float32.")
    with quiet():
        import onnxscript  # noqa: F401  it is missing before the graph is traced, not after

    if sum(array.nbytes for array in file.weights.values()) > MAX_BYTES:
        raise UserError("an ONNX file holds at most 2 GiB, and the weights of this model are more: use --to hf.")
    write_descriptions(file, folder, weights)  # an odd vocabulary is refused before the graph is traced
    note("tracing the graph, which takes about ten seconds …")
    content = traced(restore_one(file.networks[0], len(file.vocabulary)))
    (folder / "onnx").mkdir()
    (folder / "onnx/model.onnx").write_bytes(content)
    if file.counts:
        note("the graph takes what counts say as one more input, log_prior: docs/export.md tells where it comes from.")


def traced(transformer: Transformer) -> bytes:
    """The graph, with its weights inside."""
    model, (rows, length, before) = transformer.config, TRACED
    batch, seen, read = Dim("batch_size", min=1), Dim("past_length", min=0), Dim("length", min=1, max=model.block_size)
    cached = [f"{n}.{part}" for n in range(model.n_layer) for part in ("key", "value")]
    names = ["input_ids", *(f"past_key_values.{name}" for name in cached)]
    past = [torch.zeros(rows, model.kv_heads, before, model.head_dim) for _ in cached]
    inputs: list[Any] = [torch.zeros(rows, length, dtype=torch.int64), past]
    shapes: list[Any] = [{0: batch, 1: read}, [{0: batch, 2: seen} for _ in cached]]
    if transformer.prior is not None:
        names.append("log_prior")
        inputs.append(torch.zeros(rows, length, transformer.prior.orders, transformer.vocab_size + 1))
        shapes.append({0: batch, 1: read})
    with quiet(), tempfile.TemporaryDirectory() as temporary:
        program = torch.onnx.export(
            Graph(transformer),
            tuple(inputs),
            dynamic_shapes=tuple(shapes),
            input_names=names,
            output_names=["logits", *(f"present.{name}" for name in cached)],
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        assert program is not None
        program.save(f"{temporary}/model.onnx")
        return Path(temporary, "model.onnx").read_bytes()


@contextmanager
def quiet() -> Generator[None]:
    """PyTorch's exporter speaks of its own future and of packages that nobody needs here, and leaves settings behind."""
    logger, environment = logging.getLogger("torch.onnx"), dict(os.environ)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
