"""Freeze: weights that do not learn, by name.

"blocks.0-2", names of a model's weights ──▶ those of its first three blocks
"""

import fnmatch
import re
from collections.abc import Sequence

from torch import nn

from letterwise.errors import UserError, quoted

ALIASES = {"embedding": ("tokens", "positions")}  # what people call it
RANGE = re.compile(r"(\d+)-(\d+)")


def freeze(model: nn.Module, patterns: Sequence[str]) -> None:
    """Weights whose names match one of `patterns` no longer learn.

    A pattern names a weight, or what it is a part of: `head`, `blocks.0-2`, `blocks.*.attention`. Raises `UserError` for one
    that matches nothing, and where nothing is left to learn.
    """
    names = [name for name, _ in model.named_parameters()]
    frozen: set[str] = set()
    for pattern in patterns:
        found = {name for name in names if any(_matches(name, one) for one in ALIASES.get(pattern, (pattern,)))}
        if not found:
            parts = sorted({".".join(name.split(".")[: 2 if name.startswith("blocks.") else 1]) for name in names})
            raise UserError(f"--freeze {quoted(pattern)} names no weight of this model: its parts are {', '.join(parts)}.")
        frozen |= found
    if frozen == set(names):
        raise UserError(f"--freeze {' '.join(patterns)} leaves nothing to learn: leave out one of them.")
    for name, weight in model.named_parameters():
        weight.requires_grad_(name not in frozen)


def _matches(name: str, pattern: str) -> bool:
    """Does a pattern match a name, part by part from the beginning?"""
    asked, parts = pattern.split("."), name.split(".")
    return len(asked) <= len(parts) and all(_is_part(part, one) for part, one in zip(parts, asked, strict=False))


def _is_part(part: str, pattern: str) -> bool:
    span = RANGE.fullmatch(pattern)
    if span and part.isdigit():
        return int(span[1]) <= int(part) <= int(span[2])
    return fnmatch.fnmatchcase(part, pattern)
