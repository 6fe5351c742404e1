"""Presets: bricks that are useful together, and sizes they come in.

    preset (which bricks, which recipe) × size (how big) ──resolve──▶ Config
    config.toml, flags ──asked_values──▶ what was asked ─────┘

To add one, add a row. Every value can be overridden by its flag; defaults that then no longer fit are adapted.
"""

from typing import Any

from letterwise.config.adapt import adapted
from letterwise.config.declaration import PARTS, Config
from letterwise.config.experiment import read_toml
from letterwise.errors import UserError, did_you_mean

# What the three older presets share: AdamW's recipe, and none of what `fast` adds.
_USUAL = dict(
    optimizer="adamw", learning_rate=1e-3, schedule="cosine", warmup_iters=100, min_lr=1e-4, dropout=0.0, shared_dropout=False,
    qk_norm=False, embed_norm=False, zero_output=False, softcap=0.0, counts_order=0,
    counts_contexts=False, lookahead=0.0, logit_shrinkage=0.0,
)  # fmt: skip

PRESETS: dict[str, dict[str, Any]] = {
    # Whatever learns most per minute here. Rotary: Su et al. 2021. QK-norm: Henry et al. 2020. Squared ReLU: So et al.
    # 2021. Zero-initialised outputs, Muon and softcap as in modded-nanogpt (Jordan et al. 2024). Guessing two characters on:
    # Gloeckle et al. 2024. docs/log.md has figures.
    "fast": {},  # the declared defaults are this preset
    # A decoder with the bricks of Vaswani et al. 2017 §3: normalization after each residual addition, ReLU, biases. Not theirs:
    # learned positions (theirs are sinusoids), a cosine schedule (an inverse square root of the step), and no dropout (0.1).
    "classic": dict(
        positions="learned", norm="layer", norm_order="post", activation="relu", bias=True, **_USUAL,
    ),
    # Radford et al. 2019 §2.3: normalization moves before each component, GELU, one matrix for both ends.
    "gpt2": dict(
        positions="learned", norm="layer", norm_order="pre", activation="gelu", bias=True, tied=True, **_USUAL,
    ),
    # Touvron et al. 2023: rotary positions, RMSNorm, SwiGLU; grouped-query attention: Ainslie et al. 2023.
    "llama": dict(
        positions="rotary", norm="rms", norm_order="pre", activation="swiglu", bias=False, n_kv_head=2, **_USUAL,
    ),
    # Counting alone (Chen & Goodman 1998): a transformer of no layers, of which nothing is trained.
    "counts": dict(n_layer=0, n_head=1, n_embd=2, max_iters=0, counts_contexts=False),
}  # fmt: skip

SIZES: dict[str, dict[str, Any]] = {
    "nano": dict(n_layer=4, n_head=4, n_embd=128, block_size=128, batch_size=16, max_iters=2000),
    "small": dict(n_layer=6, n_head=6, n_embd=384, block_size=256, batch_size=32, max_iters=5000),
    "medium": dict(n_layer=12, n_head=12, n_embd=768, block_size=1024, batch_size=16, max_iters=20_000),
    "large": dict(n_layer=24, n_head=16, n_embd=1024, block_size=1024, batch_size=16, max_iters=40_000),
}


def resolve(asked: dict[str, Any]) -> Config:
    """The configuration that a preset, a size and what was asked beside them name together, the later ones winning.

    Defaults bend to fit what was asked, which may hold `preset`, `size` and any knob that is declared. Raises `UserError` on
    anything unknown or impossible.
    """
    plain = _defaults(asked)
    known = {name: value for name, value in asked.items() if name not in ("preset", "size")}
    changes = adapted({**knob_values(plain), **known}, known.keys())
    return plain.with_values({**changes, **known})


def asked_values(flags: dict[str, Any], config_file: str | None) -> dict[str, Any]:
    """What a person settled, by name, in a TOML file or by flags: no default among it, so nothing may change it.

    The file is read once: it may be a pipe. Raises `UserError` when it is none.
    """
    values = read_toml(config_file) if config_file is not None else {}
    if "input_file" in flags or "dataset" in flags:  # a text named on the command line takes the place of the file's
        values = {name: value for name, value in values.items() if name not in ("input_file", "dataset")}
    return values | flags


def bent(asked: dict[str, Any]) -> dict[str, Any]:
    """Defaults of the preset and size that `resolve` changed to fit what was asked, with their new values."""
    before, after = knob_values(_defaults(asked)), knob_values(resolve(asked))
    return {name: value for name, value in after.items() if value != before[name] and name not in asked}


def _defaults(values: dict[str, Any]) -> Config:
    """The configuration of a preset and a size, before anything else is asked."""
    preset, size = values.get("preset", "fast"), values.get("size", "nano")
    for kind, name, known in (("preset", preset, PRESETS), ("size", size, SIZES)):
        if name not in list(known):  # a list also compares what a dict cannot hash
            raise UserError(f"{kind} {name!r} is not known: {did_you_mean(str(name), known)}")
    return Config(preset=preset, size=size).with_values({**SIZES[size], **PRESETS[preset]})


def knob_values(config: Config) -> dict[str, Any]:
    """Every knob's value, by name."""
    return {name: value for part in PARTS for name, value in vars(getattr(config, part)).items()}
