"""A model whose scores are NaN says so in one sentence, whatever it is asked; ids outside the vocabulary never get further."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command import refused

import letterwise
from letterwise.api import LanguageModel
from letterwise.checkpoint import save_model
from letterwise.checkpoint.weights import load_weights, weights_of
from letterwise.config.presets import resolve
from letterwise.errors import Diverged, UserError
from letterwise.evaluation.evaluate import evaluate
from letterwise.inference.cpu.backend import CompiledBackend
from letterwise.inference.engine import Sequence
from letterwise.inference.torch_backend import TorchBackend
from letterwise.model import build, initialize
from letterwise.online import evaluate as evaluate_online

TEXT = "The cat sat on the mat. "


@pytest.fixture(scope="module")
def diverged(tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file whose weights are all finite, and whose activations are not."""
    weights = {name: np.full_like(weight, 1e38) for name, weight in tiny.file.weights.items()}
    path = tmp_path_factory.mktemp("nan") / "model.safetensors"
    save_model(path, replace(tiny.file, weights=weights))
    return path


ASKED = {
    "evaluate": lambda model: model.evaluate(),
    "online": lambda model: model.evaluate(protocol="online"),
    "score": lambda model: list(model.score(TEXT)),
    "score closely": lambda model: list(model.score(TEXT, closely=True)),
    "page": lambda model: model.heat_map(TEXT),
    "rank": lambda model: list(model.rank(TEXT)),
    "follow": lambda model: list(model.follow([TEXT.encode()])),
    "cost": lambda model: model.cost(TEXT),
    "classify": lambda model: list(letterwise.api.classify([model, model], [TEXT])),
    "compress": lambda model: model.compress(TEXT.encode()),
    "compress online": lambda model: model.compress(TEXT.encode(), online=True),
    "generate": lambda model: model.generate(TEXT, num_tokens=5),
    "greedy": lambda model: model.generate(TEXT, num_tokens=5, greedy=True),
    "beam": lambda model: model.generate(TEXT, num_tokens=5, beam=2),
    "regex": lambda model: model.generate(TEXT, num_tokens=5, regex="[a-z]+"),
    "sequence": lambda model: Sequence(TorchBackend(model.transformer, model.file.counts)).read(model.vocabulary.encode(TEXT)),
}


@pytest.mark.parametrize("what", ASKED)
def test_one_sentence_whatever_is_asked(diverged: Path, what: str) -> None:
    with pytest.raises(Diverged):
        ASKED[what](letterwise.load(diverged, device="cpu"))


@pytest.mark.parametrize("part", ["tokens", "qkv", "up", "norm", "head"])
@pytest.mark.parametrize("preset", ["classic", "gpt2", "llama", "fast"])
def test_weights_of_1e30_are_the_same_to_both_engines(preset: str, part: str) -> None:
    """Where squares overflow in a normalization, the compiled engine went on with zeros and PyTorch's said NaN."""
    config = resolve({"preset": preset, "n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 8, "counts_order": 0}).model
    model, random = initialize(build(config, 10), 0).eval(), np.random.default_rng(0)
    weights = {
        name: weight if weight.any() else 0.02 * random.normal(size=weight.shape) for name, weight in weights_of(model).items()
    }
    weights = {name: np.float32(weight * (1e30 if part in name else 1)) for name, weight in weights.items()}
    load_weights(model, weights)

    def told(backend: CompiledBackend | TorchBackend) -> np.ndarray | None:
        try:
            return Sequence(backend).read([1, 2, 3, 4, 5, 6])
        except Diverged:
            return None

    compiled, in_pytorch = told(CompiledBackend(config, 10, weights)), told(TorchBackend(model))
    assert (compiled is None) == (in_pytorch is None)
    assert compiled is None or compiled == pytest.approx(in_pytorch, rel=1e-3)
    assert part not in ("qkv", "up") or compiled is None, "and there is one that overflows"


def test_nothing_is_left_behind(diverged: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text(TEXT)
    files = ("--input_file", tmp_path / "text", "--model_path", diverged)
    assert str(Diverged()) in refused("score", *files, "--html", tmp_path / "page.html")
    assert str(Diverged()) in refused("compress", *files, "--output_file", tmp_path / "packed")
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


@pytest.mark.parametrize("id", [-1, 10**6])
def test_foreign_ids_are_refused_at_every_door(tiny: LanguageModel, id: int) -> None:
    """Compiled code would read and write wherever such an id leads."""
    ids = np.array([0, 1, id, 2], np.int64)
    for ask in (
        lambda: evaluate_online(tiny.file, ids),
        lambda: evaluate(tiny.text_model, ids),
        lambda: Sequence(tiny.backend).read(ids),
    ):
        with pytest.raises(UserError, match=f"id {id} is not in this vocabulary of {len(tiny.vocabulary)} characters"):
            ask()
