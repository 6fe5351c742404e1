"""Descriptions: the JSON files that transformers and transformers.js read beside the weights.

ModelFile ──▶ tokenizer.json, tokenizer_config.json; config.json, generation_config.json where its architecture is theirs
"""

import json
from pathlib import Path
from typing import Any, assert_never

from letterwise.checkpoint.model_file import ModelFile
from letterwise.config import ModelConfig
from letterwise.interop.architecture import nearest, obstacles
from letterwise.interop.exporting.tokenizer import tokenizer_config, tokenizer_json
from letterwise.model.normalization import EPSILON


def write_descriptions(file: ModelFile, folder: Path, dtype: str) -> None:
    """Write them; `dtype` is that of the weights beside them. Raises `UserError` for half a character in the vocabulary."""
    described = {
        "tokenizer.json": tokenizer_json(file.vocabulary),
        "tokenizer_config.json": tokenizer_config(file.config.model.block_size),
    }
    if not obstacles(file.config.model):
        described |= {"config.json": {**config_json(file), "dtype": dtype}, "generation_config.json": generation_config(file)}
    for name, content in described.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


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
    """As GPT-2 names its settings."""
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
    """As Llama names them."""
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
    """As OPT names them."""
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
