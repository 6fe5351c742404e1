"""Import of Hugging Face folders: transformers itself is the oracle, and what cannot be had is refused by its name."""

import copy
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from in_process import ask
from made_models import CHARS, ids_of, made

import letterwise
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.interop.importing.tokenizer import ANY_CHARACTER

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of transformers
LETTERS = "qzyx\n abcé"  # by token, in no order
SHAPES: dict[str, dict[str, Any]] = {
    "gpt2": dict(n_layer=2, n_head=2, n_embd=16, n_positions=24),
    "llama": dict(
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, hidden_size=32, intermediate_size=40,
        max_position_embeddings=24,
    ),
    "opt": dict(
        num_hidden_layers=2, num_attention_heads=2, hidden_size=16, ffn_dim=40, max_position_embeddings=24,
        word_embed_proj_dim=16,
    ),
}  # fmt: skip
CLASSES = {"gpt2": "GPT2LMHeadModel", "llama": "LlamaForCausalLM", "opt": "OPTForCausalLM"}


def theirs(kind: str, **settings: Any) -> Any:
    """A model of transformers, its weights far from where training begins."""
    torch.manual_seed(2)
    ids = dict(bos_token_id=None, eos_token_id=None, pad_token_id=None)
    config = transformers.AutoConfig.for_model(kind, vocab_size=len(LETTERS), **SHAPES[kind], **ids, **settings)
    model = getattr(transformers, CLASSES[kind])(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(1.0 if "norm" in kind else 0.0, 0.3)
    return model


def tokenizer(tokens: dict[str, int], **more: Any) -> dict[str, Any]:
    """A tokenizer.json of single characters."""
    split = {"type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated", "invert": False}
    return {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": split,
        "model": {"type": "WordLevel", "vocab": tokens, "unk_token": "<unk>"},
        **more,
    }


def saved(model: Any, folder: Path, /, **more: Any) -> Path:
    """Its folder, with a tokenizer of LETTERS."""
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer({c: id for id, c in enumerate(LETTERS)}, **more)))
    return folder


def require_equal(ours: letterwise.LanguageModel, model: Any, *, tolerance: float = 1e-4) -> None:
    """The same logits, and the same greedy text."""
    order = [LETTERS.index(character) for character in ours.vocabulary.characters]
    text = "".join(np.random.default_rng(0).choice(list(LETTERS), 24))
    with torch.no_grad():
        logits = model(torch.tensor([[LETTERS.index(character) for character in text]])).logits[0]
    assert float((ours.logits(text) - logits[:, order]).abs().max()) < tolerance
    written = [LETTERS.index("q")]
    for _ in range(20):
        with torch.no_grad():
            written.append(int(model(torch.tensor([written])).logits[0, -1].argmax()))
    assert "q" + ours.generate("q", num_tokens=20, greedy=True) == "".join(LETTERS[id] for id in written)


SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("gpt2", {}),
    ("gpt2", {"activation_function": "gelu"}),
    ("gpt2", {"activation_function": "relu", "n_inner": 24}),
    ("gpt2", {"tie_word_embeddings": False}),
    ("gpt2", {"layer_norm_epsilon": 1e-3}),
    ("gpt2", {"layer_norm_epsilon": 0.1, "tie_word_embeddings": False}),
    ("llama", {}),
    ("llama", {"rms_norm_eps": 1e-2}),
    ("llama", {"rms_norm_eps": 1e-1, "tie_word_embeddings": True}),
    ("llama", {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}}),
    ("llama", {"attention_bias": True}),
    ("llama", {"mlp_bias": True}),
    ("llama", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}),
    ("opt", {"do_layer_norm_before": False}),
    ("opt", {"do_layer_norm_before": True}),
    ("opt", {"do_layer_norm_before": True, "activation_function": "gelu", "tie_word_embeddings": False}),
]


@pytest.mark.parametrize(("kind", "settings"), SETTINGS, ids=str)
def test_a_folder_predicts_what_transformers_does(kind: str, settings: dict[str, Any], tmp_path: Path) -> None:
    model = theirs(kind, **settings)
    ours = letterwise.import_model(saved(model, tmp_path / "hf"))
    require_equal(ours, model)
    assert ours.file.imported == {"gpt2": "GPT-2", "llama": "Llama", "opt": "OPT"}[kind]


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("form", ["sharded", "bin", "sharded bin", "bfloat16", "without its head"])
def test_weights_are_found_in_any_form(kind: str, form: str, tmp_path: Path) -> None:
    model, folder = theirs(kind, tie_word_embeddings=True), tmp_path / "hf"
    if form == "bfloat16":
        for weight in model.parameters():
            weight.data = weight.data.bfloat16().float()
        saved(copy.deepcopy(model).bfloat16(), folder)
    elif form == "without its head":
        saved(model, folder)
        model.base_model.save_pretrained(folder)
    else:
        saved(model, folder)
        for path in folder.glob("*.safetensors"):
            path.unlink()
        held = {name: weight for name, weight in model.state_dict().items() if name != "lm_head.weight"}
        parts = [dict(list(held.items())[::2]), dict(list(held.items())[1::2])] if "sharded" in form else [held]
        ending, names = ("bin" if "bin" in form else "safetensors"), dict[str, str]()
        whole = f"pytorch_model.{ending}" if ending == "bin" else f"model.{ending}"
        for number, part in enumerate(parts):
            name = f"part-{number}.{ending}" if len(parts) > 1 else whole
            names |= dict.fromkeys(part, name)
            if ending == "bin":
                torch.save(part, folder / name)
            else:
                from safetensors.torch import save_file

                save_file({key: weight.contiguous() for key, weight in part.items()}, folder / name)
        if len(parts) > 1:
            (folder / f"{whole}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))
    require_equal(letterwise.import_model(folder), model)


@pytest.mark.parametrize("preset", ["classic", "gpt2", "llama"])
@pytest.mark.parametrize("vocabulary", [Vocabulary("char", CHARS), Vocabulary("byte")], ids=["characters", "bytes"])
def test_what_goes_out_comes_back(preset: str, vocabulary: Vocabulary, tmp_path: Path) -> None:
    model = made(preset, vocabulary)
    model.export("hf", tmp_path / "hf")
    back = letterwise.import_model(tmp_path / "hf")
    assert back.vocabulary == model.vocabulary
    ids = ids_of(model)
    assert torch.allclose(back(ids), model(ids), atol=1e-5)


def test_tokens_that_are_no_characters_are_left_out(tmp_path: Path) -> None:
    """Special tokens, and rows that no token has: what is left predicts the same, by their share of the probability."""
    model, folder = theirs("gpt2"), tmp_path / "hf"
    tokens = {character: id for id, character in enumerate(LETTERS[:7])} | {"<unk>": 7, "<s>": 8}
    model.save_pretrained(folder)
    special = [{"id": 8, "content": "<s>", "special": True}]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer(tokens, added_tokens=special)))
    answer = ask("import", folder, "--output_file", tmp_path / "model.safetensors")
    assert answer.code == 0, answer
    assert "3 of its 10 tokens are no character of a text, and are left out" in answer.stderr
    ours = letterwise.load(tmp_path / "model.safetensors")
    assert ours.vocabulary.characters == "".join(sorted(LETTERS[:7]))
    with torch.no_grad():
        logits = model(torch.tensor([[0, 1, 2]])).logits[0]
    order = [LETTERS.index(character) for character in ours.vocabulary.characters]
    assert torch.allclose(ours.logits(LETTERS[:3]), logits[:, order], atol=1e-4)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("gpt2", {"activation_function": "silu"}, "has activation_function=silu, and Letterwise has only relu, gelu, "),
    ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "has scale_attn_by_inverse_layer_idx=True"),
    ("gpt2", {"scale_attn_weights": False}, "has scale_attn_weights=False"),
    ("gpt2", {"layer_norm_epsilon": 0}, "has layer_norm_epsilon=0"),
    ("gpt2", {"n_layer": "two"}, "n_layer='two' is not a whole number"),
    ("gpt2", {"n_embd": 2**40}, "n_embd=1099511627776 is too large"),
    ("gpt2", {"n_layer": 4096, "n_embd": 2**17, "n_head": 1}, "bytes cannot hold the weights of the model that it describes"),
    ("gpt2", {"n_layer": 3}, "has no weight 'transformer.h.2."),
    ("gpt2", {"n_layer": 1}, "has weights that Letterwise has no place for, such as 'transformer.h.1."),
    ("gpt2", {"model_type": "gpt_neox"}, "has model_type=gpt_neox, and Letterwise imports gpt2, llama and opt"),
    ("llama", {"hidden_act": "gelu"}, "has hidden_act=gelu, and Letterwise has only silu"),
    ("llama", {"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, "has rope_type=yarn, and Letterwise has only default"),
    ("llama", {"rope_parameters": None, "rope_scaling": {"type": "linear", "factor": 2.0}}, "has rope_type=linear"),
    ("llama", {"head_dim": 16}, "has head_dim=16, and Letterwise has only 8"),
    ("llama", {"rms_norm_eps": "small"}, "has rms_norm_eps=small"),
    ("opt", {"word_embed_proj_dim": 8}, "has word_embed_proj_dim=8, and Letterwise has only 16"),
    ("opt", {"enable_bias": False}, "has enable_bias=False"),
    ("opt", {"_remove_final_layer_norm": True}, "has _remove_final_layer_norm=True"),
]


@pytest.mark.parametrize(("kind", "settings", "sentence"), REFUSED, ids=str)
def test_a_setting_that_letterwise_has_not_is_named(kind: str, settings: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    folder = saved(theirs(kind), tmp_path / "hf")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))
    answer = ask("import", folder, "--output_file", tmp_path / "model.safetensors")
    assert answer.code == 2, answer
    assert sentence in answer.sentence
    assert not (tmp_path / "model.safetensors").exists()


WORDS = {character: id for id, character in enumerate(LETTERS)}
TOKENIZERS: list[tuple[dict[str, Any], str]] = [
    ({"model": {"type": "BPE", "vocab": WORDS, "merges": ["q z"]}}, "is not character-level: 1 rules merge characters"),
    (
        {"model": {"type": "WordLevel", "vocab": {**dict(list(WORDS.items())[:8]), "the": 8, "of": 9}}},
        "is not character-level: of its 10 tokens 2 are longer than a character, such as 'the'",
    ),
    ({"model": {"type": "Unigram", "vocab": [["a", 0.1]]}}, "has no vocabulary that Letterwise can read"),
    ({"model": {"type": "WordLevel", "vocab": {"a": 0, "b": 0}}}, "has no vocabulary that Letterwise can read"),
    ({"model": None}, "has no vocabulary that Letterwise can read"),
    ({"model": {"type": "WordLevel", "vocab": {"a": 10}}}, "has tokens up to number 10, and the model 10"),
    ({"normalizer": {"type": "Lowercase"}}, "changes texts before it reads them (normalizer Lowercase)"),
    ({"pre_tokenizer": {"type": "Whitespace"}}, "does not split texts into single characters (pre_tokenizer Whitespace)"),
    ({"pre_tokenizer": None}, "does not split texts into single characters (pre_tokenizer None)"),
    (
        {"added_tokens": [{"content": "<s>"}], "model": {"type": "WordLevel", "vocab": {"<s>": 0}}},
        "has special tokens only, and none that is a character",
    ),
    (
        {
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
            "model": {"type": "BPE", "vocab": {"a": 0, "\u0143": 1}},
        },
        "splits texts into bytes, and has 2 of the 256",
    ),
    (
        {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}, "model": {"type": "BPE", "vocab": WORDS}},
        "(pre_tokenizer ByteLevel)",
    ),
    ({"added_tokens": [7, {"content": None}, None], "pre_tokenizer": 3}, "does not split texts into single characters"),
]


@pytest.mark.parametrize(("more", "sentence"), TOKENIZERS, ids=lambda value: str(value)[:40])
def test_a_tokenizer_of_anything_but_characters_is_refused(more: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    folder = saved(theirs("gpt2"), tmp_path / "hf", **more)
    answer = ask("import", folder, "--output_file", tmp_path / "model.safetensors")
    assert answer.code == 2, answer
    assert sentence in answer.sentence


@pytest.mark.parametrize("pattern", [*({"Regex": regex} for regex in ANY_CHARACTER), {"String": ""}], ids=str)
def test_what_is_taken_for_a_split_into_characters_is_one(pattern: dict[str, str], tmp_path: Path) -> None:
    text, split = (
        "ab  \n\n\r\né\u0301\U0001f468\u200d\U0001f469\0",
        {"type": "Split", "pattern": pattern, "behavior": "Isolated"},
    )
    described = tokenizer({c: id for id, c in enumerate(sorted(set(text)))}, pre_tokenizer={**split, "invert": False})
    read = tokenizers.Tokenizer.from_str(json.dumps(described))
    assert [token for token, _ in read.pre_tokenizer.pre_tokenize_str(text)] == list(text)
    folder = saved(theirs("gpt2"), tmp_path / "hf", pre_tokenizer={**split, "invert": False})
    assert letterwise.import_model(folder).vocabulary.characters == "".join(sorted(LETTERS))


def test_a_tokenizer_of_ascii_bytes_is_one_of_characters(tmp_path: Path) -> None:
    """Byte-level tokenizers spell a space Ġ and a line break Ċ."""
    spelled = {"Ġ": 0, "Ċ": 1, **{letter: 2 + place for place, letter in enumerate("zyxabcde")}}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False, "trim_offsets": True}
    model = {"type": "BPE", "vocab": spelled, "merges": []}
    read = tokenizers.Tokenizer.from_str(json.dumps(tokenizer({}, model=model, pre_tokenizer=byte_level)))
    assert read.encode("a \nb").ids == [5, 0, 1, 6]
    folder = saved(theirs("gpt2"), tmp_path / "hf", model=model, pre_tokenizer=byte_level)
    ours = letterwise.import_model(folder)
    assert ours.vocabulary.characters == "\n abcdexyz"
    with torch.no_grad():
        logits = theirs("gpt2")(torch.tensor([[5, 0, 1, 6]])).logits[0]
    assert torch.allclose(ours.logits("a \nb"), logits[:, [1, 0, 5, 6, 7, 8, 9, 4, 3, 2]], atol=1e-4)


def test_a_folder_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    folder = saved(theirs("gpt2"), tmp_path / "hf")
    (folder / "tokenizer.json").rename(folder / "away.json")
    with pytest.raises(UserError, match="does not say which character each of its 10 tokens is"):
        letterwise.import_model(folder)
    with pytest.raises(UserError, match="says it: leave out --n_head"):
        letterwise.import_model(folder, n_head=2)
    (folder / "away.json").rename(folder / "tokenizer.json")
    whole = (folder / "model.safetensors").read_bytes()
    for content in (b"", whole[:-9], whole[:40], b"\xff" * 100):
        (folder / "model.safetensors").write_bytes(content)
        with pytest.raises(UserError, match="is damaged, or no"):
            letterwise.import_model(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="has no weights: neither model"):
        letterwise.import_model(folder)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../out.safetensors"}}))
    with pytest.raises(UserError, match="names no files of this folder"):
        letterwise.import_model(folder)
    os.mkfifo(folder / "model.safetensors")
    with pytest.raises(UserError, match="is a pipe or a device"):
        letterwise.import_model(folder)
    for content in ("{", "[]", "3", "[" * 10**5, '{"model_type": ["gpt2"]}'):
        (folder / "config.json").write_text(content)
        with pytest.raises(UserError, match=r"config\.json' (is not|has model_type)"):
            letterwise.import_model(folder)
