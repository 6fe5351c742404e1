"""ONNX: onnxruntime runs what was exported, in pieces through the cache, and predicts and writes the same."""

from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import torch
from made_models import SHAPE, ids_of, made

import letterwise
from letterwise.config import ModelConfig
from letterwise.errors import UserError
from letterwise.interop.exporting.onnx import Graph

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")


def bricks() -> list[tuple[str, Any]]:
    """Every value of every brick."""
    hints = get_type_hints(ModelConfig)
    choices = {
        f.name: get_args(hints[f.name]) if get_origin(hints[f.name]) is not None else (False, True) for f in fields(ModelConfig)
    }
    named = [(name, value) for name, each in choices.items() for value in each if hints[name] is bool or isinstance(value, str)]
    return [*named, ("n_kv_head", 2), ("n_layer", 0), ("softcap", 0.0)]


@pytest.mark.parametrize(("brick", "value"), bricks())
def test_every_brick_is_the_same_as_a_function_of_its_cache(brick: str, value: Any) -> None:
    """What is traced: a brick that the tracer does not know would end the export, and not change the answer."""
    model = made("fast", **{brick: value})
    graph, ids, config = Graph(model.transformer), torch.tensor(ids_of(model))[None], model.config.model
    past = [torch.zeros(1, config.kv_heads, 0, config.head_dim) for _ in range(2 * config.n_layer)]
    found = []
    with torch.no_grad():
        for first, end in ((0, 5), (5, 6), (6, SHAPE["block_size"])):
            logits, *past = graph(ids[:, first:end], past)
            found.append(logits)
        assert torch.allclose(torch.cat(found, dim=1)[0], model(ids[0]), atol=1e-4)


class Runtime:
    """onnxruntime with a model, a text at a time."""

    def __init__(self, path: Path, model: letterwise.LanguageModel) -> None:
        self.session, self.model = onnxruntime.InferenceSession(path), model
        config = model.config.model
        self.empty = {
            each.name: np.zeros((1, config.kv_heads, 0, config.head_dim), np.float32)
            for each in self.session.get_inputs()
            if each.name.startswith("past_key_values.")
        }

    def read(self, ids: np.ndarray, first: int, past: dict[str, np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Logits of what follows each of `ids[first:]`, and the cache behind them."""
        more = {}
        if (prior := self.model.text_model.log_prior(ids, np.array([0]), len(ids))) is not None:
            more["log_prior"] = prior[:, first:].numpy()
        logits, *now = self.session.run(None, {"input_ids": ids[None, first:].astype(np.int64), **past, **more})
        return logits[0], dict(zip(past, now, strict=True))

    def greedy(self, prompt: str, n: int) -> str:
        ids, past, first = self.model.vocabulary.encode(prompt), self.empty, 0
        for _ in range(n):
            logits, past = self.read(ids, first, past)
            first, ids = len(ids), np.append(ids, logits[-1].argmax().astype(ids.dtype))
        return self.model.vocabulary.decode(ids[-n:])


@pytest.mark.parametrize("preset", ["llama", "fast"])
def test_a_trained_model_writes_the_same_there_alone_and_in_a_batch(
    preset: str, trained: dict[str, Any], tmp_path: Path
) -> None:
    model, notes = trained[preset], []

    class Listener(letterwise.Progress):
        def note(self, text: str) -> None:
            notes.append(text)

    files = model.export("onnx", tmp_path / "onnx", progress=Listener()).files
    assert any("log_prior" in note for note in notes) == (preset == "fast")
    assert ("config.json" in files) == (preset == "llama")
    theirs, text = Runtime(tmp_path / "onnx/onnx/model.onnx", model), model.held_out()
    ids = model.vocabulary.encode(text[:200])
    logits, past = theirs.read(ids[:150], 0, theirs.empty)
    more, _ = theirs.read(ids, 150, past)
    assert np.abs(np.concatenate((logits, more)) - model(ids).detach().numpy()).max() < 1e-4
    for start in range(0, 300, 60):
        prompt = text[start : start + 20]
        assert theirs.greedy(prompt, 200) == model.generate(prompt, num_tokens=200, greedy=True)
    if preset == "llama":
        batch = np.stack([model.vocabulary.encode(text[start : start + 30]) for start in (0, 40, 90)]).astype(np.int64)
        past = {name: np.repeat(each, 3, axis=0) for name, each in theirs.empty.items()}
        logits = theirs.session.run(["logits"], {"input_ids": batch, **past})[0]
        assert np.abs(logits - model(batch).detach().numpy()).max() < 1e-4


def test_other_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no --weights int8"):
        made("gpt2").export("onnx", tmp_path / "onnx", weights="int8")
    assert list(tmp_path.iterdir()) == []
