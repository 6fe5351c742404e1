"""Knobs: what one declares is what it takes. Of every option of training and of writing."""

import math
import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, make_dataclass
from pathlib import Path
from typing import Any

import pytest
from in_process import ask

from letterwise.cli.commands import generate
from letterwise.cli.flags import Parser, text_flags
from letterwise.config import PARTS
from letterwise.config.generation import GENERATION
from letterwise.config.knob import check, default_of, knob, typed_fields, without_none
from letterwise.config.presets import asked_values, resolve
from letterwise.errors import UserError

ALL = [(f, hint) for kind in (*PARTS.values(), *GENERATION) for f, hint in typed_fields(kind)]
NUMBERS = [(f, hint) for f, hint in ALL if without_none(hint) in (int, float)]


def alone(f: Field[Any], hint: Any, value: object) -> object:
    """What a knob holds when it is set to a value, in a dataclass of its own."""
    bounds = {name: f.metadata[name] for name in ("min", "max", "above", "below")}
    made = make_dataclass("Alone", [(f.name, hint, knob(default_of(f), f.metadata["help"], **bounds))], frozen=True)(value)
    check(made)
    return getattr(made, f.name)


@pytest.mark.parametrize(("f", "hint"), NUMBERS, ids=lambda part: getattr(part, "name", ""))
def test_a_number_is_taken_up_to_its_bounds_and_no_further(f: Field[Any], hint: Any) -> None:
    whole = without_none(hint) is int
    step = (lambda x, to: x + math.copysign(1, to)) if whole else math.nextafter
    low, high, above, below = (f.metadata[bound] for bound in ("min", "max", "above", "below"))
    inside = [bound for bound in (low, high) if bound is not None]
    inside += [step(bound, to) for bound, to in ((above, math.inf), (below, -math.inf)) if bound is not None]
    outside = [step(bound, to) for bound, to in ((low, -math.inf), (high, math.inf)) if bound is not None]
    outside += [bound for bound in (above, below) if bound is not None]
    for value in inside:
        assert alone(f, hint, int(value) if whole else float(value)) == value
    for value in outside:
        with pytest.raises(UserError, match=rf"^{f.name}=.* is too (small|large): (the (minimum|maximum) is|it must)"):
            alone(f, hint, int(value) if whole else float(value))
    for value in (math.nan, "3", True, -math.inf):
        with pytest.raises(UserError, match=f"^{f.name}="):
            alone(f, hint, value)


@pytest.mark.parametrize(
    ("f", "hint"), [pair for pair in NUMBERS if without_none(pair[1]) is float], ids=lambda part: getattr(part, "name", "")
)
def test_a_number_that_is_none_is_refused_with_what_may_be(f: Field[Any], hint: Any) -> None:
    unbounded = default_of(f) == math.inf
    for value in (math.nan, -math.inf) if unbounded else (math.nan, -math.inf, math.inf):
        with pytest.raises(
            UserError, match=rf"^{f.name}={value} must be a {'' if unbounded else 'finite '}number.*\.$"
        ) as found:
            alone(f, hint, value)
        for bound in ("min", "max", "above", "below"):
            limit = f.metadata[bound]
            assert limit is None or f"{limit:,}" in str(found.value)
    if f.metadata["above"] is None and (f.metadata["min"] or 0) <= 0:
        assert math.copysign(1, alone(f, hint, -0.0)) == 1


def test_infinity_is_refused_however_it_comes(tiny, tmp_path: Path) -> None:
    said = "temperature=inf must be a finite number above 0."
    assert ask("generate", "--model_path", tiny.run_dir / "model.safetensors", "--temperature", "inf").sentence == said
    with pytest.raises(UserError, match=re.escape(said)):
        tiny.generate("The", temperature=math.inf)
    for number in ("inf", "nan", "-inf"):
        (tmp_path / "c.toml").write_text(f"dropout = {number}")
        with pytest.raises(UserError, match=f"dropout={number} must be a finite number of 0 or more and below 1"):
            resolve(asked_values({}, str(tmp_path / "c.toml")))


def test_every_declared_option_is_a_flag_of_generate_and_does_nothing_until_given() -> None:
    parser = Parser(prog="letterwise generate")
    generate.add_flags(parser, [])
    flags = {action.dest: action for action in parser._actions}
    for kind in GENERATION:
        for f, _ in typed_fields(kind):
            assert f.metadata["help"].split(";")[0] in (flags[f.name].help or "")
    assert parser.parse(["--model_path", "m"]) == {"model_path": "m"}


def test_flags_that_take_texts_take_what_begins_with_a_dash() -> None:
    texts = "seed prompt stop charset exclude must_contain regex json_schema grammar logit_bias"
    assert text_flags() == {f"--{name}" for name in texts.split()}


def test_defaults_are_of_their_own_kind_and_not_shared() -> None:
    for kind in (*PARTS.values(), *GENERATION):
        check(kind())

    @dataclass(frozen=True)
    class Biased:
        bias: Mapping[str, float] = knob(dict, "nats", metavar="CHARS=NATS")

    assert Biased().bias is not Biased().bias
    with pytest.raises(UserError, match="bias=3 is not a dict of numbers"):
        check(Biased(3))
