"""Weight names: one table of what each weight is called elsewhere, and how it lies there. Exporters and importers read it.

our weights by name ──to_theirs──▶ theirs by name · theirs ──to_ours──▶ ours

A module's name stands for its weight and its bias. Where another program has several modules for one of ours (q, k and v), ours
are their rows one after another.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from letterwise.config import ModelConfig
from letterwise.config.accounting import weight_shapes

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Format:
    """What weights are called in a kind of file, and how they lie there.

    names            our module ▸ theirs; `{n}` is the block
    transposed       matrices are (inputs, outputs)
    first_position   rows of the position table before that of position 0
    neighbours       rotary positions turn neighbouring rows of q and k, where ours turn row i with row i + D/2
    biases           each linear layer and norm must have one: zero, where ours has none
    """

    names: Mapping[str, str | tuple[str, ...]]
    transposed: bool = False
    first_position: int = 0
    neighbours: bool = False
    biases: bool = False


NANOGPT = Format({  # also minGPT's
    "tokens": "transformer.wte",
    "positions": "transformer.wpe",
    "blocks.{n}.attention_norm": "transformer.h.{n}.ln_1",
    "blocks.{n}.attention.qkv": "transformer.h.{n}.attn.c_attn",
    "blocks.{n}.attention.out": "transformer.h.{n}.attn.c_proj",
    "blocks.{n}.feedforward_norm": "transformer.h.{n}.ln_2",
    "blocks.{n}.feedforward.up": "transformer.h.{n}.mlp.c_fc",
    "blocks.{n}.feedforward.down": "transformer.h.{n}.mlp.c_proj",
    "norm": "transformer.ln_f",
    "head": "lm_head",
})  # fmt: skip

MINGPT_2020 = Format({  # minGPT's until 2022
    "tokens": "tok_emb",
    "positions": "pos_emb",
    "blocks.{n}.attention_norm": "blocks.{n}.ln1",
    "blocks.{n}.attention.qkv": ("blocks.{n}.attn.query", "blocks.{n}.attn.key", "blocks.{n}.attn.value"),
    "blocks.{n}.attention.out": "blocks.{n}.attn.proj",
    "blocks.{n}.feedforward_norm": "blocks.{n}.ln2",
    "blocks.{n}.feedforward.up": "blocks.{n}.mlp.0",
    "blocks.{n}.feedforward.down": "blocks.{n}.mlp.2",
    "norm": "ln_f",
    "head": "head",
})  # fmt: skip

HF_GPT2 = replace(NANOGPT, transposed=True, biases=True)

HF_LLAMA = Format({
    "tokens": "model.embed_tokens",
    "blocks.{n}.attention_norm": "model.layers.{n}.input_layernorm",
    "blocks.{n}.attention.qkv": tuple(f"model.layers.{{n}}.self_attn.{each}_proj" for each in "qkv"),
    "blocks.{n}.attention.out": "model.layers.{n}.self_attn.o_proj",
    "blocks.{n}.feedforward_norm": "model.layers.{n}.post_attention_layernorm",
    "blocks.{n}.feedforward.up": ("model.layers.{n}.mlp.gate_proj", "model.layers.{n}.mlp.up_proj"),
    "blocks.{n}.feedforward.down": "model.layers.{n}.mlp.down_proj",
    "norm": "model.norm",
    "head": "lm_head",
})  # fmt: skip

HF_OPT = Format({
    "tokens": "model.decoder.embed_tokens",
    "positions": "model.decoder.embed_positions",
    "blocks.{n}.attention_norm": "model.decoder.layers.{n}.self_attn_layer_norm",
    "blocks.{n}.attention.qkv": tuple(f"model.decoder.layers.{{n}}.self_attn.{each}_proj" for each in "qkv"),
    "blocks.{n}.attention.out": "model.decoder.layers.{n}.self_attn.out_proj",
    "blocks.{n}.feedforward_norm": "model.decoder.layers.{n}.final_layer_norm",
    "blocks.{n}.feedforward.up": "model.decoder.layers.{n}.fc1",
    "blocks.{n}.feedforward.down": "model.decoder.layers.{n}.fc2",
    "norm": "model.decoder.final_layer_norm",
    "head": "lm_head",
}, first_position=2, biases=True)  # fmt: skip

GGUF_GPT2 = Format({
    "tokens": "token_embd",
    "positions": "position_embd",
    "blocks.{n}.attention_norm": "blk.{n}.attn_norm",
    "blocks.{n}.attention.qkv": "blk.{n}.attn_qkv",
    "blocks.{n}.attention.out": "blk.{n}.attn_output",
    "blocks.{n}.feedforward_norm": "blk.{n}.ffn_norm",
    "blocks.{n}.feedforward.up": "blk.{n}.ffn_up",
    "blocks.{n}.feedforward.down": "blk.{n}.ffn_down",
    "norm": "output_norm",
    "head": "output",
}, biases=True)  # fmt: skip

GGUF_LLAMA = Format({
    "tokens": "token_embd",
    "blocks.{n}.attention_norm": "blk.{n}.attn_norm",
    "blocks.{n}.attention.qkv": ("blk.{n}.attn_q", "blk.{n}.attn_k", "blk.{n}.attn_v"),
    "blocks.{n}.attention.out": "blk.{n}.attn_output",
    "blocks.{n}.feedforward_norm": "blk.{n}.ffn_norm",
    "blocks.{n}.feedforward.up": ("blk.{n}.ffn_gate", "blk.{n}.ffn_up"),
    "blocks.{n}.feedforward.down": "blk.{n}.ffn_down",
    "norm": "output_norm",
    "head": "output",
}, neighbours=True)  # fmt: skip

LINEAR = ("attention.qkv", "attention.out", "feedforward.up", "feedforward.down")


def to_theirs(weights: Arrays, config: ModelConfig, form: Format) -> dict[str, np.ndarray]:
    """Our weights under their names, as they lie there."""
    found: dict[str, np.ndarray] = {}
    for name, weight in _with_biases(weights, form).items():
        module, part = _split(name)
        theirs = _theirs(module, form)
        bounds = np.cumsum(_rows(module, config))[:-1] if len(theirs) > 1 else []
        for kind, (other, piece) in enumerate(zip(theirs, np.split(weight, bounds), strict=True)):
            if form.neighbours and module.endswith("qkv") and kind < 2:
                piece = _neighbours(piece, config.head_dim)
            if form.transposed and module.endswith(LINEAR):
                piece = piece.T
            if module == "positions":
                piece = np.pad(piece, ((form.first_position, 0), (0, 0)))
            found[f"{other}.{part}"] = np.ascontiguousarray(piece)
    return found


def to_ours(theirs: Arrays, config: ModelConfig, form: Format, vocab_size: int) -> dict[str, np.ndarray]:
    """The inverse: all weights of a model of this configuration, float32.

    Raises `KeyError` with the name of a weight that is not there; those that nobody asks for are left alone.
    """
    found: dict[str, np.ndarray] = {}
    for name in weight_shapes(config, vocab_size):
        module, part = _split(name)
        pieces = []
        for kind, other in enumerate(_theirs(module, form)):
            piece = theirs[f"{other}.{part}"]
            if module == "positions":
                piece = piece[form.first_position :]
            if form.transposed and module.endswith(LINEAR):
                piece = piece.T
            if form.neighbours and module.endswith("qkv") and kind < 2:
                piece = _halves(piece, config.head_dim)
            pieces.append(piece)
        found[name] = np.ascontiguousarray(np.concatenate(pieces), np.float32)
    return found


def heads_written_out(weights: Arrays, config: ModelConfig) -> tuple[dict[str, np.ndarray], ModelConfig]:
    """The same model with a key/value head for each query head: shared ones are repeated."""
    if config.kv_heads == config.n_head:
        return dict(weights), config
    found = dict(weights)
    for name, weight in weights.items():
        module, _ = _split(name)
        if module.endswith("qkv"):
            q, *shared = np.split(weight, np.cumsum(_rows(module, config))[:-1])
            apart = [each.reshape(config.kv_heads, config.head_dim, *each.shape[1:]) for each in shared]
            full = [np.repeat(each, config.n_head // config.kv_heads, axis=0).reshape(q.shape) for each in apart]
            found[name] = np.concatenate((q, *full))
    return found, replace(config, n_kv_head=None)


def _with_biases(weights: Arrays, form: Format) -> dict[str, np.ndarray]:
    """All weights, with a bias of zeros where one is needed and not there."""
    found = dict(weights)
    for name, weight in weights.items() if form.biases else ():
        module, _ = _split(name)
        if module.endswith((*LINEAR, "norm")):
            found.setdefault(f"{module}.bias", np.zeros(len(weight), np.float32))
    return found


def _split(name: str) -> tuple[str, str]:
    """Module and part of one of our weights: `blocks.0.attention.qkv` and `bias`."""
    module, _, part = name.rpartition(".")
    return module, "weight" if part == "table" else part


def _theirs(module: str, form: Format) -> list[str]:
    """What one of our modules is called there."""
    first, _, rest = module.partition(".")
    n, _, inner = rest.partition(".")
    names = form.names["blocks.{n}." + inner if first == "blocks" else module]
    return [name.format(n=n) for name in ([names] if isinstance(names, str) else names)]


def _rows(module: str, config: ModelConfig) -> list[int]:
    """How many rows of one of our modules belong to each of those that others have for it."""
    if module.endswith("qkv"):
        return [heads * config.head_dim for heads in (config.n_head, config.kv_heads, config.kv_heads)]
    return [config.hidden, config.hidden]  # a gate, and what it gates


def _neighbours(rows: np.ndarray, head_dim: int) -> np.ndarray:
    """Rows (H·D, …) of q or k so that those that turn together, i and i + D/2 of a head, stand side by side."""
    return rows.reshape(-1, 2, head_dim // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def _halves(rows: np.ndarray, head_dim: int) -> np.ndarray:
    """The inverse of `_neighbours`."""
    return rows.reshape(-1, head_dim // 2, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
