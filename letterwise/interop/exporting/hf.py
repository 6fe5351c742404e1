"""Hugging Face: a folder that transformers loads without custom code: `AutoModelForCausalLM`, `AutoTokenizer`, `pipeline`.

ModelFile ──architecture──▶ config.json ──weight_names──▶ model.safetensors, tokenizer, generation_config.json, README.md
"""

import json
from pathlib import Path
from typing import Any, Literal, assert_never

import safetensors.numpy

from letterwise.checkpoint.model_file import ModelFile
from letterwise.config import ModelConfig
from letterwise.errors import UserError
from letterwise.interop.architecture import Architecture, nearest
from letterwise.interop.exporting.model_card import model_card
from letterwise.interop.exporting.plain import EPSILON, fitting_heads, require_plain
from letterwise.interop.exporting.tokenizer import tokenizer_config, tokenizer_json
from letterwise.interop.weight_names import HF_GPT2, HF_LLAMA, HF_OPT, Format, to_theirs
from letterwise.progress import Note


def write(file: ModelFile, folder: Path, *, weights: Literal["float32", "float16"] = "float32", note: Note) -> None:
    """Write the folder's files. Raises `UserError` where the model is none that transformers has, or its vocabulary is odd."""
    require_plain(file.config.model, "transformers")
    if weights not in ("float32", "float16"):
        raise UserError(f"--to hf has no --weights {weights}: float32 or float16.")
    described = {
        "tokenizer.json": tokenizer_json(file.vocabulary),
        "tokenizer_config.json": tokenizer_config(file.config.model.block_size),
        "config.json": {**config_json(file), "dtype": weights},
        "generation_config.json": generation_config(file),
    }
    for name, content in described.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    arrays, config = fitting_heads(file)
    theirs = to_theirs(arrays, config, weight_format(nearest(config)))
    theirs = {name: array.astype(weights) for name, array in theirs.items()}
    (folder / "model.safetensors").write_bytes(safetensors.numpy.save(theirs, metadata={"format": "pt"}))
    (folder / "README.md").write_text(model_card(file, note), encoding="utf-8", errors="backslashreplace")


def weight_format(target: Architecture) -> Format:
    """How transformers spells and lays the weights of an architecture."""
    match target:
        case "gpt2":
            return HF_GPT2
        case "llama":
            return HF_LLAMA
        case "opt":
            return HF_OPT
        case _:
            assert_never(target)


def config_json(file: ModelFile) -> dict[str, Any]:
    """The content of config.json."""
    model, target = file.config.model, nearest(file.config.model)
    common = {
        "model_type": target,
        "vocab_size": len(file.vocabulary),
        "tie_word_embeddings": model.tied,
        "bos_token_id": None,
        "eos_token_id": file.line_break,
        "pad_token_id": None,
    }
    match target:
        case "gpt2":
            return {**common, **_gpt2(model)}
        case "llama":
            return {**common, **_llama(model)}
        case "opt":
            return {**common, **_opt(model)}
        case _:
            assert_never(target)


def generation_config(file: ModelFile) -> dict[str, Any]:
    """How it writes if nothing is asked: as `letterwise generate`, up to a full context; of lines, one."""
    return {
        "do_sample": True,
        "temperature": 1.0,
        "top_k": 0,
        "max_length": file.config.model.block_size,
        "bos_token_id": None,
        "eos_token_id": file.line_break,
        "pad_token_id": file.line_break,
    }


def _gpt2(model: ModelConfig) -> dict[str, Any]:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "n_layer": model.n_layer,
        "n_head": model.n_head,
        "n_embd": model.n_embd,
        "n_inner": model.hidden,
        "n_positions": model.block_size,
        "activation_function": _activation(model),
        "layer_norm_epsilon": EPSILON,
        "attn_pdrop": model.dropout,
        "embd_pdrop": model.dropout,
        "resid_pdrop": model.dropout,
    }


def _llama(model: ModelConfig) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "num_hidden_layers": model.n_layer,
        "num_attention_heads": model.n_head,
        "num_key_value_heads": model.kv_heads,
        "head_dim": model.head_dim,
        "hidden_size": model.n_embd,
        "intermediate_size": model.hidden,
        "hidden_act": "silu",
        "max_position_embeddings": model.block_size,
        "rms_norm_eps": EPSILON,
        "rope_theta": model.rotary_base,  # read by transformers 4
        "rope_parameters": {"rope_type": "default", "rope_theta": model.rotary_base},  # and by 5
        "attention_bias": model.bias,
        "mlp_bias": model.bias,
    }


def _opt(model: ModelConfig) -> dict[str, Any]:
    return {
        "architectures": ["OPTForCausalLM"],
        "num_hidden_layers": model.n_layer,
        "num_attention_heads": model.n_head,
        "hidden_size": model.n_embd,
        "word_embed_proj_dim": model.n_embd,
        "ffn_dim": model.hidden,
        "activation_function": _activation(model),
        "max_position_embeddings": model.block_size,
        "do_layer_norm_before": False,
        "enable_bias": True,
        "layer_norm_elementwise_affine": True,
        "dropout": model.dropout,
        "attention_dropout": 0.0,
        "layerdrop": 0.0,
    }


def _activation(model: ModelConfig) -> str:
    """What transformers calls the nonlinearity."""
    match model.activation:
        case "relu":
            return "relu"
        case "gelu":
            return "gelu_new"
        case "gelu_erf":
            return "gelu"
        case "relu_squared":
            return "relu2"
        case "swiglu":
            return "silu"
        case _:
            assert_never(model.activation)
