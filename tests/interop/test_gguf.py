"""GGUF: a real llama.cpp (the build inside xllamacpp) loads what was exported, and predicts, spells and writes the same."""

from pathlib import Path
from typing import Any

import pytest
from made_models import choices, made

import letterwise
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.interop.architecture import obstacles
from letterwise.interop.exporting.gguf import lacking

xllamacpp = pytest.importorskip("xllamacpp", reason="xllamacpp, which is llama.cpp, is not installed")
gguf = pytest.importorskip("gguf", reason="gguf is not installed")
pytestmark = pytest.mark.filterwarnings("ignore:.*")


class LlamaCpp:
    """llama.cpp with a model, its cache in float32: its default, float16, costs 0.003 nats."""

    def __init__(self, path: Path, context: int) -> None:
        params = xllamacpp.CommonParams()
        params.model.path, params.n_ctx, params.n_parallel, params.port = str(path), context, 1, 0
        params.n_gpu_layers, params.cpuparams.n_threads, params.warmup, params.fit_params = 0, 1, False, False
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.verbosity = -1
        self.server = xllamacpp.Server(params)

    def asked(self, prompt: str, **options: Any) -> Any:
        (choice,) = self.server.handle_completions({"prompt": prompt, "temperature": 0, **options})["choices"]
        return choice

    def greedy(self, prompt: str, n: int) -> str:
        return self.asked(prompt, max_tokens=n, top_k=1)["text"]

    def log_probs(self, prompt: str, size: int) -> dict[str, float]:
        (step,) = self.asked(prompt, max_tokens=1, logprobs=size)["logprobs"]["content"]
        return {each["token"]: each["logprob"] for each in step["top_logprobs"]}


def exported(model: letterwise.LanguageModel, folder: Path, **options: Any) -> LlamaCpp:
    model.export("gguf", folder, **options)
    return LlamaCpp(folder / "model.gguf", model.config.model.block_size)


@pytest.mark.parametrize(
    ("preset", "changes", "allowed"),
    [
        ("gpt2", {}, 3e-3),  # its GELU is a table of float16
        ("gpt2", {"bias": False, "tied": False, "n_kv_head": 2}, 3e-3),
        ("llama", {}, 2e-5),
        ("llama", {"bias": True, "tied": True, "rotary_base": 500.0, "n_kv_head": 1}, 2e-5),
    ],
)
def test_distributions_are_the_same(preset: str, changes: dict[str, Any], allowed: float, tmp_path: Path) -> None:
    model = made(preset, **changes)
    theirs = exported(model, tmp_path / "gguf")
    for prompt in ("a", "abc de", "\n\nfade a cab ", "abcdefghabcdefgh abcdef"):
        ours = model.logits(prompt)[-1].log_softmax(-1).tolist()
        found = theirs.log_probs(prompt, len(ours))
        assert found.keys() == set(model.vocabulary.characters)
        for character, log_prob in found.items():
            assert log_prob == pytest.approx(ours[model.vocabulary.characters.index(character)], abs=allowed)


@pytest.mark.parametrize(("preset", "brick", "value"), choices())
def test_every_brick_is_equal_there_or_refused(preset: str, brick: str, value: Any, tmp_path: Path) -> None:
    model = made(preset, **{brick: value})
    config = model.config.model
    if [*obstacles(config), *lacking(config)]:
        with pytest.raises(UserError, match="has no model with"):
            model.export("gguf", tmp_path / "gguf")
    else:
        ours, found = (
            model.logits("fade a cab")[-1].log_softmax(-1),
            exported(model, tmp_path / "gguf").log_probs("fade a cab", 10),
        )
        away = [abs(found[c] - float(ours[i])) for i, c in enumerate(model.vocabulary.characters)]
        assert max(away) < (2e-5 if preset == "llama" else 5e-3)  # its GELU is a table of float16, of the tanh form


@pytest.mark.parametrize("preset", ["gpt2", "llama"])
def test_greedy_texts_and_perplexity_of_a_trained_model_are_the_same(
    preset: str, trained: dict[str, Any], tmp_path: Path
) -> None:
    model = trained[preset]
    theirs, text = exported(model, tmp_path / "gguf"), model.held_out()
    for start in range(0, 500, 50):
        prompt = text[start : start + 20]
        assert theirs.greedy(prompt, 200) == model.generate(prompt, num_tokens=200, greedy=True)
    window = text[: model.config.model.block_size]
    size = len(model.vocabulary)
    nats = -sum(theirs.log_probs(window[:n], size)[window[n]] for n in range(1, len(window))) / (len(window) - 1)
    ours = model.logits(window[:-1]).log_softmax(-1).tolist()
    expected = -sum(row[model.vocabulary.characters.index(c)] for row, c in zip(ours, window[1:], strict=True)) / len(ours)
    assert nats == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("weights", "allowed"), [("float16", 0.002), ("int8", 0.03)])
def test_smaller_weights_cost_little(weights: Any, allowed: float, trained: dict[str, Any], tmp_path: Path) -> None:
    model = trained["llama"]
    full = model.export("gguf", tmp_path / "full").files["model.gguf"]
    theirs = exported(model, tmp_path / "gguf", weights=weights)
    assert (tmp_path / "gguf/model.gguf").stat().st_size < {"float16": 0.65, "int8": 0.45}[weights] * full
    text, size = model.held_out()[:100], len(model.vocabulary)
    ours = model.logits(text).log_softmax(-1)
    for n in range(10, 100, 10):
        likely = ours[n - 1].exp().argmax()
        found = theirs.log_probs(text[:n], size)[model.vocabulary.characters[likely]]
        assert found == pytest.approx(float(ours[n - 1, likely]), abs=allowed)


def test_rows_that_do_not_divide_are_float16(tmp_path: Path) -> None:
    model = made("llama", n_embd=40)
    theirs = exported(model, tmp_path / "gguf", weights="int8")
    assert len(theirs.greedy("abc", 5)) == 5
    kinds = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(tmp_path / "gguf/model.gguf").tensors}
    assert kinds["token_embd.weight"] == "F16"
    assert kinds["output_norm.weight"] == "F32"


@pytest.mark.parametrize("kind", ["char", "byte"])
def test_awkward_characters_are_spelled_exactly(kind: str, tmp_path: Path) -> None:
    text = "a\r\nb\u2028\U0001f469\u200d\U0001f4bb e\u0301  <unk> ▁\\x41 "
    vocabulary = Vocabulary("byte") if kind == "byte" else Vocabulary("char", "".join(sorted(set(text))))
    model = made("llama", vocabulary, block_size=128)
    theirs = exported(model, tmp_path / "gguf")
    ours = model.logits(text)[-1].log_softmax(-1)
    likely = int(ours.argmax())
    best = theirs.asked(text, max_tokens=1, logprobs=1)["logprobs"]["content"][0]
    assert best["top_logprobs"][0]["id"] == likely
    assert best["logprob"] == pytest.approx(float(ours[likely]), abs=1e-4)


def test_each_byte_of_an_unknown_character_is_a_space_there(tmp_path: Path) -> None:
    theirs = exported(made("llama"), tmp_path / "gguf")
    assert theirs.log_probs("abé", 10) == pytest.approx(theirs.log_probs("ab  ", 10))


@pytest.mark.parametrize(
    ("preset", "changes", "named"),
    [
        ("classic", {}, "norms after each component and ReLU"),
        ("gpt2", {"activation": "relu"}, "ReLU"),
        ("fast", {}, "normalized queries and keys"),
        ("fast", {"counts_order": 3}, "n-gram counts"),
    ],
)
def test_what_it_has_not_is_named(preset: str, changes: dict[str, Any], named: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"llama\.cpp has no model with {named}"):
        made(preset, **changes).export("gguf", tmp_path / "gguf")
    assert list(tmp_path.iterdir()) == []


def test_exact_gelu_is_said_to_be_another(tmp_path: Path) -> None:
    notes = []

    class Listener(letterwise.Progress):
        def note(self, text: str) -> None:
            notes.append(text)

    made("gpt2", activation="gelu_erf").export("gguf", tmp_path / "gguf", progress=Listener())
    assert any("tanh form" in note for note in notes)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gguf", None)
    with pytest.raises(UserError, match=r"needs the package gguf, which is not installed: pip install 'letterwise\[export\]'"):
        made("llama").export("gguf", tmp_path / "gguf")
    assert list(tmp_path.iterdir()) == []
