"""Config: what can be chosen. Every knob is declared once; presets name good choices; a default adapts to what was typed.

knob          one option, declared: help and range, checked    adapt        defaults that make room for what was typed
declaration   the options of training                          presets      names for many choices at once
generation    the options of writing                           arguments    what Python callers hand over, checked
accounting    parameters, operations and bytes of a choice
"""

from letterwise.config.declaration import (
    CONTEXT_KINDS,
    CONTEXT_REACH,
    MIXED_UP_TO,
    PARTS,
    Config,
    DataConfig,
    ModelConfig,
    RuntimeConfig,
    TrainingConfig,
    config_from_json,
)

__all__ = [
    "CONTEXT_KINDS",
    "CONTEXT_REACH",
    "MIXED_UP_TO",
    "PARTS",
    "Config",
    "DataConfig",
    "ModelConfig",
    "RuntimeConfig",
    "TrainingConfig",
    "config_from_json",
]
