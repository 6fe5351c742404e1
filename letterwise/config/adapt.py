"""Adapt: defaults that were not asked for change, so that what was asked for fits.

    values (defaults, with what was asked among them), names of what was asked ──▶ the defaults that have to change, to fit

`asked` holds the names of knobs that a person settled: by a flag, in a TOML file, or by a keyword from Python. Those never
change; where two of them contradict each other, the configuration says so. Everything here is pure: values in, changes out.
"""

from collections.abc import Set
from typing import Any

WARMUP_SHARE = 4  # a default warm-up takes at most one step in so many
HEADS_TRIED = 64  # numbers of heads that are tried when nobody asked for one
WHOLE = (
    "n_layer", "n_head", "n_embd", "max_iters", "warmup_iters", "block_size", "counts_order", "counts_chars",
)  # fmt: skip


def adapted(values: dict[str, Any], asked: Set[str]) -> dict[str, Any]:
    """Changes to defaults that contradict what was asked, or each other. `values` holds every knob.

    Values of the wrong kind or range are left for the configuration to object to.

    >>> adapted({**defaults, "max_iters": 10}, {"max_iters"})
    {'warmup_iters': 2}
    """
    if not _sound(values):
        return {}
    changes = _positions(values, asked)
    changes |= _heads({**values, **changes}, asked)
    return changes | _steps(values, asked) | _rates(values, asked)


def adapted_to_text(values: dict[str, Any], asked: Set[str], *, train_chars: int, lines: bool) -> dict[str, Any]:
    """Changes to defaults that do not fit a training part of so many characters. Of lines, one is enough, however short."""
    if not _sound(values) or train_chars < 2:
        return {}
    changes: dict[str, Any] = {}
    if not lines and "block_size" not in asked and values["block_size"] >= train_chars:
        changes["block_size"] = max(1, train_chars // 2)  # then a window has places to begin at
    counted = min(train_chars, values["counts_chars"])
    if "counts_order" not in asked and values["counts_order"] > counted:
        changes["counts_order"] = counted
    return changes


def validation_share(asked: Set[str], *, train_chars: int, chars: int, needed: int) -> float | None:
    """A default `val_fraction` that leaves `needed` characters to train on: 0, or None where there is nothing to change."""
    spare = "val_fraction" not in asked and "val_file" not in asked and "test_fraction" not in asked
    return 0.0 if spare and train_chars < needed <= chars else None


def _sound(values: dict[str, Any]) -> bool:
    """Whether all that is reckoned with is a number in its range: if not, the configuration objects in better words."""
    whole = all(type(values[name]) is int and values[name] >= (name in ("n_head", "n_embd")) for name in WHOLE)
    kv_heads = values["n_kv_head"]
    rates = all(type(values[name]) in (int, float) for name in ("learning_rate", "min_lr", "minutes"))
    return whole and rates and (kv_heads is None or (type(kv_heads) is int and kv_heads >= 1))


def _positions(values: dict[str, Any], asked: Set[str]) -> dict[str, Any]:
    """Rotary positions turn pairs of numbers, and no layer reads learned ones."""
    if "positions" in asked:
        return {"n_layer": 1} if values["positions"] == "learned" and not values["n_layer"] and "n_layer" not in asked else {}
    if values["positions"] == "learned" and not values["n_layer"]:
        return {"positions": "rotary"}
    odd = "n_embd" in asked and values["n_embd"] % 2 == 1
    width, heads = values["n_embd"], values["n_head"]
    odd |= {"n_embd", "n_head"} <= asked and width % heads == 0 and width // heads % 2 == 1
    return {"positions": "learned"} if odd and values["positions"] == "rotary" and values["n_layer"] else {}


def _heads(values: dict[str, Any], asked: Set[str]) -> dict[str, Any]:
    """The nearest heads, key/value heads and width that divide each other."""
    width, heads, shared = values["n_embd"], values["n_head"], values["n_kv_head"]
    even = 2 if values["positions"] == "rotary" and values["n_layer"] else 1
    found: list[tuple[tuple[int, int], dict[str, Any]]] = []
    for h in {heads} if "n_head" in asked else {heads, shared or 1, *range(1, HEADS_TRIED)}:
        if "n_kv_head" in asked:
            kv = shared
        else:
            kv = None if shared is None else max(k for k in range(1, min(h, shared) + 1) if h % k == 0)
        w = width if "n_embd" in asked else max(1, round(width / (h * even))) * h * even
        if w % (h * even) == 0 and (kv is None or h % kv == 0):
            found.append(((abs(w - width), abs(h - heads)), {"n_embd": w, "n_head": h, "n_kv_head": kv}))
    if not found:
        return {}
    best = min(found, key=lambda one: one[0])[1]
    return {name: value for name, value in best.items() if value != values[name]}


def _steps(values: dict[str, Any], asked: Set[str]) -> dict[str, Any]:
    """A warm-up shorter than the run."""
    steps, warmup = values["max_iters"], values["warmup_iters"]
    if values["minutes"] or not steps:
        return {}
    if "warmup_iters" not in asked and warmup > steps // WARMUP_SHARE:
        return {"warmup_iters": steps // WARMUP_SHARE}
    if "max_iters" not in asked and warmup >= steps:
        return {"max_iters": 2 * warmup}
    return {}


def _rates(values: dict[str, Any], asked: Set[str]) -> dict[str, Any]:
    """A learning rate that falls."""
    peak, floor = values["learning_rate"], values["min_lr"]
    if floor <= peak:
        return {}
    if "min_lr" not in asked:
        return {"min_lr": peak / 10}
    return {} if "learning_rate" in asked else {"learning_rate": floor}
