"""Memory: what does not fit is refused before anything is built, with a setting that does."""

import re
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from letterwise.config.accounting import parameters, training_bytes
from letterwise.config.presets import resolve
from letterwise.errors import UserError
from letterwise.runtime.device import Runtime, find_runtime
from letterwise.training.planning.memory import GIB, fitted_to_memory, needs
from letterwise.training.planning.settings import days_note
from letterwise.training.together import memory_note

TEXT = {"vocab_size": 65, "chars": 1_000_000}


def test_many_different_characters_are_noted_before_they_take_the_memory() -> None:
    """129,000 of them took 11 GB without a word."""
    text = {"vocab_size": 129_000, "chars": 200_000}
    config, note = fitted_to_memory(resolve({"max_iters": 2}), {"max_iters"}, **text, available=22 * GIB)
    assert config == resolve({"max_iters": 2})
    assert re.search(r"needs about 1[0-3]\.\d GiB .*22\.0 GiB are free here: --vocab byte .* 129,000 different", note)
    config, note = fitted_to_memory(resolve({"max_iters": 2}), {"max_iters"}, **text, available=8 * GIB)
    assert config.training.batch_size < resolve({"max_iters": 2}).training.batch_size
    assert "it goes on with batch_size=" in note
    asked = {"batch_size": 16, "max_iters": 2}
    with pytest.raises(UserError, match=r"needs about 1[0-3]\.\d GiB .*--batch_size"):
        fitted_to_memory(resolve(asked), {*asked}, **text, available=8 * GIB)


def test_no_less_than_the_step_itself_by_hand() -> None:
    config = resolve({"preset": "gpt2", "size": "large", "batch_size": 512})
    need = needs(config, **TEXT)
    assert need.total > training_bytes(config.model, 65, 512, "adamw") > 700 * GIB
    assert need.weights == 4 * parameters(config.model, 65).total * (
        4 + 1 + 4
    )  # with gradients and two means; the best; a copy
    assert need.counts == 110_000_000  # counted once, to compare with


HUGE = {"batch_size": 2**20, "block_size": 2**20, "n_layer": 2**12, "n_embd": 2**17, "ffn_hidden": 2**20}


@settings(max_examples=60)
@given(name=st.sampled_from([*HUGE]), preset=st.sampled_from(["fast", "classic", "llama"]), gib=st.integers(1, 16))
def test_what_is_asked_and_cannot_fit_is_refused_and_what_is_advised_fits(name: str, preset: str, gib: int) -> None:
    flags = {"batch_size": 16, "preset": preset, name: HUGE[name]}
    text = {"vocab_size": 65, "chars": 10**12}
    with pytest.raises(UserError) as refused:
        fitted_to_memory(resolve(flags), {*flags}, **text, available=gib * GIB)
    advised = dict(re.findall(r"--(\w+) (\d+)", str(refused.value).partition(", or --activation")[0]))
    assert advised, refused.value
    smaller = resolve({**flags, **{name: int(value) for name, value in advised.items()}})
    assert needs(smaller, **text).total <= gib * GIB


def test_batches_nobody_asked_for_are_made_smaller_and_learn_from_as_much() -> None:
    config = resolve({"size": "large"})
    fitted, note = fitted_to_memory(config, {"size"}, **TEXT, available=20 * GIB)
    assert fitted.training.batch_size < config.training.batch_size
    assert fitted.training.sequences == config.training.sequences
    assert f"batch_size={fitted.training.batch_size}" in note
    assert needs(fitted, **TEXT).total <= 20 * GIB
    with pytest.raises(UserError, match="--batch_size"):
        fitted_to_memory(config, {"size", "batch_size"}, **TEXT, available=20 * GIB)


def test_computing_activations_again_is_named_as_a_way_out() -> None:
    asked = {"size": "medium", "batch_size": 16, "preset": "gpt2"}
    with pytest.raises(UserError, match=r"--batch_size .* fits, or --activation_checkpointing, which takes a third") as refused:
        fitted_to_memory(resolve(asked), {*asked}, **TEXT, available=10 * GIB)
    assert "--activation_checkpointing --" not in str(refused.value), "it is enough by itself"
    config = resolve({**asked, "activation_checkpointing": True})
    assert fitted_to_memory(config, {*asked}, **TEXT, available=10 * GIB)[0] == config
    with pytest.raises(UserError, match=r"or --activation_checkpointing (--\w+ \d+ ?)+, which") as refused:
        fitted_to_memory(resolve(asked), {*asked}, **TEXT, available=4 * GIB)
    batch = dict(re.findall(r"--(\w+) (\d+)", str(refused.value).partition("--activation_checkpointing")[2]))
    smaller = config.with_values({name: int(value) for name, value in batch.items()})
    assert needs(smaller, **TEXT).total <= 4 * GIB
    with pytest.raises(UserError) as refused:
        fitted_to_memory(config, {*asked}, **TEXT, available=4 * GIB)
    assert "--activation_checkpointing" not in str(refused.value), "that is done already"


def test_a_gpu_whose_memory_may_not_do_is_told_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (6 * GIB, 8 * GIB))
    config = resolve({"size": "medium", "batch_size": 16, "preset": "gpt2"})
    again = config.with_values({"activation_checkpointing": True})
    whole, half = (Runtime(torch.device("cuda:0"), dtype) for dtype in (torch.float32, torch.bfloat16))
    said = memory_note(config, 65, whole)
    assert re.search(
        r"may need 1\d\.\d GiB .* 6\.0 GiB are free: if so, --activation_checkpointing, or a smaller --batch_size", said
    )
    assert memory_note(again, 65, whole) == ""
    longer = again.with_values({"batch_size": 160})
    assert re.search("if so, a smaller --batch_size", memory_note(longer, 65, half))
    assert memory_note(longer, 65, replace(half, processes=8)) == ""
    assert memory_note(config, 65, Runtime(torch.device("cpu"), torch.float32)) == ""


def test_where_nothing_else_helps_a_size_is_named() -> None:
    deep_and_wide = {"n_layer": 2**12, "n_embd": 2**17}
    with pytest.raises(UserError, match="--size nano fits"):
        fitted_to_memory(resolve(deep_and_wide), {*deep_and_wide}, **TEXT, available=GIB)
    with pytest.raises(UserError, match="free some memory"):
        fitted_to_memory(resolve({}), set(), **TEXT, available=1000)


def test_many_different_characters_cost_memory() -> None:
    few, many = (needs(resolve({}), vocab_size=size, chars=10**6).total for size in (100, 100_000))
    assert many - few > 4 * 100_000 * (2 * 128 + 16 * 128)  # embedding and head; one row of scores for each character


def test_what_fits_is_left_alone() -> None:
    config = resolve({})
    assert fitted_to_memory(config, set(), **TEXT, available=4 * GIB) == (config, "")
    assert fitted_to_memory(config, set(), **TEXT, available=None) == (config, "")


def test_days_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("letterwise.training.planning.settings.measured_flops", lambda *parts: 1e11)
    runtime = find_runtime(resolve({"device": "cpu"}).runtime)
    assert re.search("about [1-9][0-9]+ days", days_note(resolve({"size": "large"}), 65, runtime))
    assert days_note(resolve({}), 65, runtime) == ""
    assert days_note(resolve({"size": "large", "minutes": 60.0}), 65, runtime) == ""
