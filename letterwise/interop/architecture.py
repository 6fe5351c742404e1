"""Architecture: which other program's model a configuration is exactly, and what keeps it from being one.

ModelConfig ──its bricks, whatever its preset──▶ gpt2 · llama · opt, or the parts that none of them has

gpt2    learned positions, layer norm before each component        Radford et al. 2019
llama   rotary positions, RMS norm before each component, SwiGLU   Touvron et al. 2023
opt     learned positions, layer norm after each component         Zhang et al. 2022 (as its model of 350 M parameters)
"""

from typing import Literal, assert_never

from letterwise.config import ModelConfig

Architecture = Literal["gpt2", "llama", "opt"]


def nearest(config: ModelConfig) -> Architecture:
    """The one with the same positions and norm order: it is what this model is, where there are no `obstacles`."""
    match config.positions:
        case "rotary":
            return "llama"
        case "learned":
            return "gpt2" if config.norm_order == "pre" else "opt"
        case _:
            assert_never(config.positions)


def obstacles(config: ModelConfig) -> list[str]:
    """The parts that the nearest architecture does not have, as a person would name them."""
    extra = {
        "n-gram counts": config.counts_order,
        "normalized queries and keys": config.qk_norm and config.n_layer,
        "a normalized embedding": config.embed_norm,
        "a softcap": config.softcap,
    }
    found = [name for name, there in extra.items() if there]
    match nearest(config):
        case "llama":
            found += ["norms after each component"] if config.norm_order == "post" else []
            found += ["layer norm"] if config.norm == "layer" else []
            found += [] if config.gated else [f"{spelled(config)} without a gate"]
        case "gpt2" | "opt":
            found += ["RMS norm"] if config.norm == "rms" else []
            found += [spelled(config)] if config.gated else []
        case unknown:
            assert_never(unknown)
    return found


def spelled(config: ModelConfig) -> str:
    """The activation, as papers spell it."""
    match config.activation:
        case "relu":
            return "ReLU"
        case "gelu":
            return "GELU"
        case "gelu_erf":
            return "exact GELU"
        case "relu_squared":
            return "squared ReLU"
        case "swiglu":
            return "SwiGLU"
        case _:
            assert_never(config.activation)
