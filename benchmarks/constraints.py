"""Constraints: do all samples match, as others see it, and what does a character cost more than without?

    python -m benchmarks.constraints --samples 1000

Eleven regexes, checked with Python's `re` and `unicodedata`, and three JSON schemas, checked with `jsonschema`. Weights are
fresh, so the model is of no help: it would write anything at all. `overhead` is the time of a character under the constraint
over that of a free one, minus one; the constraint's making is included, and an end that is drawn counts as a character.
"""

import functools
import json
import re
import statistics
import string
import time
import unicodedata
from collections.abc import Callable
from typing import Any

import jsonschema

from benchmarks.record import flags, record
from letterwise.checkpoint.weights import weights_of
from letterwise.config.presets import resolve
from letterwise.data.vocabulary import Vocabulary
from letterwise.inference.constraints.limits import Limits
from letterwise.inference.cpu.backend import CompiledBackend
from letterwise.inference.generate import generate
from letterwise.inference.sampling.sampler import Sampler
from letterwise.model import build, initialize

SHAPE = dict(n_layer=4, n_head=4, n_embd=128, block_size=64)
VOCABULARY = Vocabulary("char", "".join(sorted(string.printable[:95] + "\nÀÉÖàéößÿЖжЯя日本")))

REGEXES = {
    "date": r"(19|20)\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])",
    "time": r"([01]\d|2[0-3])(:[0-5]\d){1,2}",
    "ipv4": r"((25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)",
    "e-mail": r"[a-z0-9]+([._-][a-z0-9]+)*@([a-z0-9]+(-[a-z0-9]+)*\.)+[a-z]{2,6}",
    "sonnet": r"([A-Z][A-Za-z ,;']{24,44}[,;.:]\n){14}",
    "words of any script": r"[^\W\d_]{2,9}( [^\W\d_]{2,9}){0,6}[.!?]",
    "names": r"[A-ZÀÉÖЖЯ][a-zàéößÿжя]{2,11}( [A-ZÀÉÖЖЯ][a-zàéößÿжя]{2,11}){1,2}",
    "number": r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?",
    "colour": r"#(?i:[0-9a-f]{3}|[0-9a-f]{6})",
    "quoted": r'"([^"\\\n]|\\["\\n])*"',
}
SCHEMAS: dict[str, dict[str, Any]] = {
    "person": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "age": {"type": "integer", "minimum": 0, "maximum": 120},
            "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
        },
        "required": ["name", "age"],
        "additionalProperties": False,
    },
    "tree": {
        "$defs": {
            "node": {
                "type": "object",
                "properties": {"value": {"type": "number"}, "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
                "required": ["value", "children"],
                "additionalProperties": False,
            }
        },
        "$ref": "#/$defs/node",
    },
    "order": {
        "type": "object",
        "properties": {
            "id": {"type": "string", "pattern": "^[A-Z]{2}[0-9]{4}$"},
            "state": {"enum": ["open", "paid", "sent"]},
            "items": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "properties": {
                        "sku": {"type": "string"},
                        "count": {"type": "integer"},
                        "gift": {"type": ["boolean", "null"]},
                    },
                    "required": ["sku", "count"],
                    "additionalProperties": False,
                },
            },
        },
        "required": ["id", "state", "items"],
        "additionalProperties": False,
    },
}
LETTERS = r"\p{Lu}\p{Ll}{2,8}"  # Python's re has no such classes: unicodedata has
LENGTHS = {"sonnet": 700}  # of the others: 150


def cases() -> dict[str, tuple[Limits, Callable[[str], bool]]]:
    """What is asked for, and how to see whether it came."""
    found: dict[str, tuple[Limits, Callable[[str], bool]]] = {}
    for name, regex in REGEXES.items():
        limits = Limits(num_tokens=LENGTHS.get(name, 150), regex=regex)
        found[name] = limits, functools.partial(lambda compiled, text: bool(compiled.fullmatch(text)), re.compile(regex))
    found["letters"] = Limits(num_tokens=150, regex=LETTERS), is_capitalized
    for name, schema in SCHEMAS.items():
        limits = Limits(num_tokens=150, json_schema=json.dumps(schema))
        found[f"json {name}"] = limits, functools.partial(is_of, jsonschema.Draft202012Validator(schema))
    return found


def is_capitalized(text: str) -> bool:
    """Does unicodedata agree that these are a capital and small letters?"""
    return [unicodedata.category(c) for c in text] == ["Lu"] + ["Ll"] * (len(text) - 1) and 3 <= len(text) <= 9


def is_of(schema: Any, text: str) -> bool:
    """Is a text JSON of a schema?"""
    return schema.is_valid(json.loads(text))


def main() -> None:
    parser = flags(__doc__ or "")
    parser.add_argument("--samples", type=int, default=1000, help="texts for each constraint")
    asked = parser.parse_args()
    config = resolve(SHAPE | {"counts_order": 0}).model
    weights = weights_of(initialize(build(config, len(VOCABULARY)), seed=0))
    model = CompiledBackend(config, len(VOCABULARY), weights)
    timed(model, Limits(), range(50))  # to warm up
    for name, (limits, matches) in cases().items():
        right, chars, ratios = 0, 0, []
        for first in range(0, asked.samples, 50):  # by turns, so that a busy machine is busy for both
            seeds = range(first, min(first + 50, asked.samples))
            texts, under_s, ends = timed(model, limits, seeds)
            right += sum(map(matches, texts))
            written = sum(map(len, texts))
            drawn, length = written + ends, max(1, round((written + ends) / len(seeds)))
            _, free_s, _ = timed(model, Limits(num_tokens=length), seeds)
            ratios.append((under_s / drawn) / (free_s / len(seeds) / length))
            chars += written
        overhead = round(statistics.median(ratios) - 1, 3)
        record(asked.append, benchmark="constraints", constraint=name, samples=asked.samples, matching=right, chars=chars,
               overhead=overhead, **SHAPE)  # fmt: skip


def timed(model: CompiledBackend, limits: Limits, seeds: range) -> tuple[list[str], float, int]:
    """Texts, the seconds that they took one after another, and how many ended because an end was drawn."""
    texts, ends, began = [], 0, time.perf_counter()
    for seed in seeds:
        samples = generate(model, VOCABULARY, "", sampler=Sampler(), limits=limits, rng_seeds=(seed,))
        (generation,) = samples.running.values()
        texts += samples.texts()
        ends += generation.ended == "match" and not (generation.guide and generation.guide.is_finished())
    return texts, time.perf_counter() - began, ends


if __name__ == "__main__":
    main()
