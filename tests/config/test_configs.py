"""Configurations: presets, files and flags in their order; every file in configs/ trains."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from letterwise.config import PARTS, Config, ModelConfig, config_from_json
from letterwise.config.accounting import flops_per_char, parameters
from letterwise.config.presets import PRESETS, SIZES, asked_values, resolve
from letterwise.errors import UserError
from letterwise.training.planning.memory import GIB, fitted_to_memory
from letterwise.training.planning.plan import choose, passes
from letterwise.training.prepare import train

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "configs").glob("*.toml"))
FOR_A_GPU = [path for path in FILES if path.stem.endswith("_gpu")]


@pytest.mark.parametrize("path", [path for path in FILES if path not in FOR_A_GPU], ids=lambda path: path.stem)
def test_every_file_loads_builds_and_takes_two_steps(path: Path, text_file: Path, tmp_path: Path) -> None:
    small = {"input_file": (str(text_file),), "max_iters": 2, "warmup_iters": 1, "batch_size": 2, "block_size": 32}
    assert train(asked_values(small, str(path)), out=str(tmp_path / "o")).iters == 2


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_says_command_hardware_minutes_and_bits(path: Path) -> None:
    header = "".join(line for line in path.read_text().splitlines(keepends=True) if line.startswith("#"))
    assert f"letterwise train --config configs/{path.name}" in header
    assert all(word in header for word in ("minutes", "bits per character", "1 GPU" if path in FOR_A_GPU else "cores"))


@pytest.mark.parametrize("path", FOR_A_GPU, ids=lambda path: path.stem)
def test_a_recipe_for_a_gpu_has_the_size_and_takes_the_time_it_says(path: Path) -> None:
    """By formula: it is planned for an hour, and fits a GPU of 80 GB; nothing of it is trained here."""
    config, header = resolve(asked_values({}, str(path))), path.read_text()
    vocab_size = 256 if config.data.vocab == "byte" else 65
    assert f"{parameters(config.model, vocab_size).total / 1e6:.0f} million parameters" in header
    chars, rate = config.training.sequences * config.model.block_size * config.training.max_iters, 0.4 * 989e12
    minutes = passes(config) * flops_per_char(config.model, vocab_size) * chars / rate / 60
    assert float(re.findall(r"about ([\d.]+) minutes by formula", header)[0]) == pytest.approx(minutes, rel=0.03)
    asked = asked_values({}, str(path))
    text = {"vocab_size": vocab_size, "chars": 90_000_000}
    assert fitted_to_memory(config, asked.keys(), **text, available=80 * GIB)[0] == config
    timed = resolve({**asked, "minutes": 60.0})
    assert choose(timed, {*asked, "minutes"}, **text, flops=rate).values.keys().isdisjoint(asked)


def test_the_later_wins(tmp_path: Path) -> None:
    """Preset < file < flag."""
    path = tmp_path / "e.toml"
    path.write_text('preset = "gpt2"\nn_layer = 5\nn_head = 2\n')
    config = resolve(asked_values({"n_layer": 7}, str(path)))
    assert (config.preset, config.model.activation) == ("gpt2", "gelu")
    assert (config.model.n_layer, config.model.n_head, config.model.n_embd) == (7, 2, 128)
    assert resolve(asked_values({"preset": "llama"}, str(path))).model.activation == "swiglu"


def test_a_text_on_the_command_line_takes_the_place_of_the_files(tmp_path: Path) -> None:
    path = tmp_path / "e.toml"
    path.write_text('dataset = "shakespeare"\n')
    assert resolve(asked_values({}, str(path))).data.dataset == "shakespeare"
    config = resolve(asked_values({"input_file": ("a.txt",)}, str(path)))
    assert (config.data.dataset, config.data.input_file) == (None, ("a.txt",))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("preset", PRESETS)
def test_json_round_trip(preset: str, size: str) -> None:
    config = resolve({"preset": preset, "size": size, "input_file": ("a", "b"), "minutes": 2})
    assert config_from_json(json.loads(json.dumps(config.to_json()))) == config


def test_names_are_unique_over_all_parts() -> None:
    names = [f.name for kind in PARTS.values() for f in dataclasses.fields(kind)]
    assert len(names) == len(set(names))


def test_configurations_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().model.n_layer = 3


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"n_layer": -1}, "n_layer=-1 is too small: the minimum is 0"),
        ({"max_iters": -1}, "max_iters=-1 is too small: the minimum is 0"),
        ({"counts_order": -1}, "counts_order=-1 is too small: the minimum is 0"),
        ({"counts_folds": 1}, "counts_folds=1 is too small: the minimum is 2"),
        ({"counts_chars": 0}, "counts_chars=0 is too small: the minimum is 1"),
        ({"n_layer": 2.5}, "n_layer=2.5 is not a whole number"),
        ({"n_layer": True}, "n_layer=True is not a whole number"),
        ({"bias": 1}, "bias=1 is not true or false"),
        ({"input_file": "a.txt"}, "input_file='a.txt' is not a list of texts"),
        ({"learning_rate": 10**400}, "is not a number"),
        ({"preset": "gpt2", "n_embd": 100, "n_head": 3}, "try --n_embd 99"),
        ({"dropout": 1.0}, "dropout=1.0 is too large"),
        ({"dropout": float("inf")}, "dropout=inf must be a finite number of 0 or more and below 1."),
        ({"activation": "relu2"}, "activation='relu2' is not known: did you mean 'relu'"),
        ({"n_embd": 100, "n_head": 3}, "n_embd=100 is not divisible by n_head=3: try --n_embd 102"),
        ({"n_head": 4, "n_kv_head": 3}, "n_head=4 is not divisible by n_kv_head=3"),
        ({"n_embd": 12, "n_head": 4, "positions": "rotary"}, "is odd"),
        ({"warmup_iters": 2000, "max_iters": 2000}, "warmup_iters=2000 leaves nothing to train"),
        ({"min_lr": 1.0, "learning_rate": 0.1}, "min_lr=1.0 is above learning_rate"),
        ({"depth": 3}, "'depth' is not a known option"),
        ({"preset": "gtp2"}, "preset 'gtp2' is not known: did you mean 'gpt2'"),
        ({"dataset": "x", "input_file": ("y",)}, "both name a text"),
    ],
)
def test_every_objection_shows_the_value(values: dict, words: str) -> None:
    with pytest.raises(UserError) as refused:
        resolve(values)
    assert words in str(refused.value)


def test_no_layers_and_no_steps_are_allowed() -> None:
    config = resolve({"n_layer": 0, "max_iters": 0})
    assert (config.model.n_layer, config.training.max_iters) == (0, 0)
    counts = resolve({"preset": "counts", "size": "large"})
    assert (counts.model.n_layer, counts.training.max_iters, counts.model.counts_order) == (0, 0, 7)


def test_counts_are_learned_beside_by_default_and_not_in_the_classics() -> None:
    orders = {name: resolve({"preset": name}).model.counts_order for name in PRESETS}
    assert orders == {"fast": 7, "classic": 0, "gpt2": 0, "llama": 0, "counts": 7}


def test_derived_widths() -> None:
    assert ModelConfig(n_embd=128).hidden == 512
    assert ModelConfig(n_embd=128, activation="swiglu").hidden == 344  # 8/3 · 128 = 341.3, up to a multiple of 8
    assert ModelConfig(ffn_hidden=99).hidden == 99
    assert ModelConfig(n_embd=128, n_head=4).head_dim == 32


def test_configuration_needs_no_torch() -> None:
    probe = "import sys, letterwise.config.presets as p; p.resolve({}); assert not {'torch', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", probe], cwd=ROOT, check=True)


@settings(max_examples=200)
@given(n_embd=st.integers(1, 300), n_head=st.integers(1, 20), positions=st.sampled_from(["learned", "rotary"]))
def test_the_width_that_is_advised_fits(n_embd: int, n_head: int, positions: str) -> None:
    try:
        ModelConfig(n_embd=n_embd, n_head=n_head, positions=positions)
    except UserError as refused:
        advised = re.search(r"try --n_embd (\d+)\.", str(refused))
    else:
        assume(False)
    width = int(advised[1])
    assert ModelConfig(n_embd=width, n_head=n_head, positions=positions).n_embd == width
    assert abs(width - n_embd) <= 2 * n_head
