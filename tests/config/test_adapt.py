"""Adapt: what nobody typed gives way, and what somebody typed never does."""

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import letterwise
from letterwise.config import PARTS, ModelConfig
from letterwise.config.adapt import adapted_to_text, validation_share
from letterwise.config.presets import PRESETS, SIZES, asked_values, bent, knob_values, resolve
from letterwise.errors import UserError

# Knobs that once contradicted a default, with values that are right by themselves.
RIGHT = {
    "max_iters": st.integers(0, 3000),
    "warmup_iters": st.integers(0, 3000),
    "learning_rate": st.floats(1e-6, 1.0),
    "min_lr": st.floats(0, 1.0),
    "n_layer": st.integers(0, 8),
    "n_head": st.integers(1, 80),
    "n_kv_head": st.integers(1, 80),
    "n_embd": st.integers(1, 400),
    "minutes": st.sampled_from([0.0, 1.0]),
}
SHAPES = {"n_head", "n_kv_head", "n_embd"}  # these three divide each other, so that two can contradict each other by the third


@pytest.mark.parametrize("name", RIGHT)
@settings(max_examples=30)
@given(data=st.data(), preset=st.sampled_from([*PRESETS]), size=st.sampled_from([*SIZES]))
def test_one_knob_alone_is_never_refused(name: str, data: st.DataObject, preset: str, size: str) -> None:
    value = data.draw(RIGHT[name])
    config = resolve({"preset": preset, "size": size, name: value})
    assert knob_values(config)[name] == value


@settings(max_examples=60)
@given(flags=st.fixed_dictionaries({}, optional=RIGHT), preset=st.sampled_from([*PRESETS]))
def test_what_was_asked_stays_and_what_is_refused_contradicts_itself(flags: dict, preset: str) -> None:
    try:
        config, told = resolve({"preset": preset, **flags}), ""
    except UserError as refused:
        config, told = None, str(refused)
    named = {name for name in flags if name in told}
    assert config or len(named) >= 2 or len(named | (flags.keys() & SHAPES)) >= 2, told
    if config:
        assert {name: knob_values(config)[name] for name in flags} == flags
        assert not set(bent({"preset": preset, **flags})) & set(flags)


def test_by_hand() -> None:
    assert bent({"max_iters": 10}) == {"warmup_iters": 2}
    assert bent({"max_iters": 60, "preset": "classic"}) == {"warmup_iters": 15}
    assert bent({"learning_rate": 5e-5, "preset": "gpt2"}) == {"min_lr": pytest.approx(5e-6)}
    assert bent({"n_head": 6}) == {"n_embd": 132}
    assert bent({"n_embd": 100}) == {"n_head": 5}
    assert bent({"n_head": 3, "n_embd": 126, "preset": "llama"}) == {"n_kv_head": 1}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("size", SIZES)
def test_defaults_fit_each_other(preset: str, size: str) -> None:
    assert bent({"preset": preset, "size": size}) == {}


def test_a_file_and_a_keyword_are_asked_as_well(tmp_path: Path) -> None:
    (tmp_path / "e.toml").write_text("warmup_iters = 20\n")
    with pytest.raises(UserError, match="warmup_iters=20"):
        resolve(asked_values({"max_iters": 10}, str(tmp_path / "e.toml")))


def test_of_the_wrong_kind_is_left_to_the_configuration() -> None:
    with pytest.raises(UserError, match="n_head='x' is not a whole number"):
        resolve({"n_head": "x"})


def test_a_short_text() -> None:
    values = {f.name: f.default for part in PARTS.values() for f in fields(part)}
    assert adapted_to_text(values, set(), train_chars=100, lines=False) == {"block_size": 50}
    assert adapted_to_text(values, {"block_size"}, train_chars=100, lines=False) == {}
    assert adapted_to_text(values, set(), train_chars=3, lines=True) == {"counts_order": 3}
    assert adapted_to_text(values, set(), train_chars=129, lines=False) == {}
    assert validation_share(set(), train_chars=117, chars=130, needed=129) == 0
    assert validation_share({"val_fraction"}, train_chars=117, chars=130, needed=129) is None
    assert validation_share(set(), train_chars=90, chars=100, needed=129) is None
    assert ModelConfig().block_size == 128


@pytest.mark.parametrize("preset", ["fast", "classic", "counts"])
def test_a_poem_of_two_letters_is_learned(preset: str, tmp_path: Path) -> None:
    (tmp_path / "poem.txt").write_text("ab")
    steps = {} if preset == "counts" else {"max_iters": 1}
    model = letterwise.train(tmp_path / "poem.txt", out=tmp_path / "o", preset=preset, **steps)
    assert (model.config.model.block_size, model.config.data.val_fraction) == (1, 0.0)
    assert set(model.generate("a", num_tokens=5)) <= {"a", "b"}
