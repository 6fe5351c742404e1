"""Ensemble file: several models go in and come out, each as it was; what does not go together is refused in a sentence."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_ensembles import COUNTS, VOCABULARY, WEIGHTS, ensemble, member, members
from priors import counted

from letterwise.checkpoint import ModelFile, load_model, save_model
from letterwise.checkpoint.container import pack, unpack
from letterwise.checkpoint.ensemble import combined
from letterwise.checkpoint.model_file import describe_model
from letterwise.checkpoint.text_model import text_model
from letterwise.compression.fingerprint import fingerprint
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.ngrams.storage import to_arrays

IDS = np.random.default_rng(1).integers(0, len(VOCABULARY), 12)


def logits_of(file: ModelFile) -> torch.Tensor:
    """Of all places of `IDS`."""
    model = text_model(file)
    with torch.no_grad():
        return model.transformer(torch.from_numpy(IDS)[None], log_prior=model.log_prior(IDS, np.zeros(1, int), len(IDS)))[0]


@pytest.mark.parametrize("name", ["model.safetensors", "model.pth"])
def test_round_trip(tmp_path: Path, name: str) -> None:
    file = ensemble()
    save_model(tmp_path / name, file)
    back = load_model(tmp_path / name)
    assert (back.header(), back.config, back.weights) == (file.header(), file.config, {})
    assert [each.weight for each in back.members] == list(WEIGHTS)
    assert [each.model for each in back.members] == [each.config.model for each in members()]
    assert back.arrays.keys() == file.arrays.keys()
    assert all(np.array_equal(back.arrays[key], file.arrays[key]) for key in file.arrays)
    assert back.counts
    assert all(np.array_equal(array, to_arrays(COUNTS)[key]) for key, array in to_arrays(back.counts).items())
    assert torch.equal(logits_of(back), logits_of(file))
    assert describe_model(tmp_path / name).params == back.params == sum(array.size for array in file.arrays.values())


def test_its_logits_are_the_weighted_sum_of_its_members() -> None:
    first, *others = [weight * logits_of(each) for each, weight in zip(members(), WEIGHTS, strict=True)]
    assert torch.equal(logits_of(ensemble()), sum(others, first))


def test_one_member_of_weight_1_is_that_model() -> None:
    for each in members():
        assert torch.equal(logits_of(combined([each], [1.0])), logits_of(each))


def test_an_ensemble_of_ensembles_has_their_members() -> None:
    one, two, three = members()
    nested = combined([combined([one, two], [0.5, 0.25]), three], [2.0, 1.0])
    assert nested.header() == combined([one, two, three], [1.0, 0.5, 1.0]).header()


def test_its_configuration_is_that_of_the_first_with_counts() -> None:
    file = ensemble()
    assert file.config.model == members()[1].config.model
    without = combined([member(counts_order=0), member(counts_order=0, n_embd=24)], [0.5, 0.5])
    assert (without.config.model.n_embd, without.counts) == (16, None)


def test_an_ordinary_model_is_written_as_before(tmp_path: Path) -> None:
    """Readers from before there were ensembles read it."""
    assert (member().header()["version"], "members" in member().header()) == (3, False)
    assert ensemble().header()["version"] == 4


def test_a_fingerprint_is_of_all_members_and_weights() -> None:
    files = [member(), combined([member()], [1.0]), ensemble(), combined(members(), (0.7, 0.4, -0.2))]
    files += [combined([member(), member(5)], [0.5, 0.5]), combined([member(), member(6)], [0.5, 0.5])]
    assert len({fingerprint(file) for file in files}) == len(files)


def edited(path: Path, header: dict[str, Any], arrays: dict[str, np.ndarray | None]) -> None:
    """An ensemble whose header says something else, and whose arrays do (None: leave it out)."""
    file = ensemble()
    save_model(path, file)
    kept = {name: array for name, array in {**unpack(path)[1], **arrays}.items() if array is not None}
    path.write_bytes(pack({**file.header(), **header}, kept, path.suffix))


def stored(n: int = 0, **values: Any) -> list[dict[str, Any]]:
    """The members of the header; of one of them something else."""
    entries = ensemble().header()["members"]
    entries[n] = {name: value for name, value in {**entries[n], **values}.items() if value is not ...}
    return entries


def model(n: int = 0, **values: Any) -> list[dict[str, Any]]:
    """The same, of its architecture."""
    return stored(n, model={**ensemble().header()["members"][n]["model"], **values})


NUMBERS = np.zeros(3, np.float32)
DAMAGED = {
    "none": ({"members": []}, {}, "names no members"),
    "no list": ({"members": {}}, {}, "names no members"),
    "too many": ({"members": stored() * 30}, {}, "names no members, or more than 64"),
    "one more": ({"members": [*stored(), stored()[1]]}, {}, "0 weights"),
    "one less": ({"members": stored()[:2]}, {}, "'member.2.* belong to no member"),
    "in another order": ({"members": stored()[::-1]}, {}, "configuration is not that of its first"),
    "no dict": ({"members": [1, 2, 3]}, {}, "member 0 is not an architecture and a weight"),
    "no weight": ({"members": stored(weight=...)}, {}, "member 0 is not an architecture and a weight"),
    "more to say": ({"members": stored(1, more=1)}, {}, "member 1 is not an architecture and a weight"),
    "a weight of NaN": ({"members": stored(weight=math.nan)}, {}, "member 0 is not an architecture and a weight"),
    "a weight without end": ({"members": stored(weight=math.inf)}, {}, "member 0 is not an architecture and a weight"),
    "a huge weight": ({"members": stored(weight=-1e6)}, {}, r"member 0 has the weight -1e\+06"),
    "a weight in words": ({"members": stored(weight="1")}, {}, "member 0 is not an architecture and a weight"),
    "a knob that is not known": ({"members": model(what=1)}, {}, "what"),
    "no architecture": ({"members": stored(model=1)}, {}, "model"),
    "another width": ({"members": model(n_embd=28)}, {}, "weights, and its configuration"),
    "another context": ({"members": model(block_size=8)}, {}, "member 0 has block_size=8, and another 12"),
    "another order": ({"members": model(2, counts_order=2)}, {}, "member 2 has counts_order=2, and another 3"),
    "an array missing": ({}, {"member.0.head.weight": None}, "weights"),
    "an array of no member": ({}, {"member.3.head.weight": NUMBERS}, "'member.3.head.weight'.* belong to no member"),
    "an array of none": ({}, {"head.weight": NUMBERS}, "'head.weight'.* belong to no member"),
    "an array too many": ({}, {"member.1.more": NUMBERS}, "weights, and its configuration"),
    "NaN": ({}, {"member.1.norm.weight": np.full(16, math.nan, np.float32)}, "NaN"),
}


@pytest.mark.parametrize(("header", "arrays", "words"), DAMAGED.values(), ids=DAMAGED.keys())
def test_what_does_not_fit_is_refused(tmp_path: Path, header: dict, arrays: dict, words: str) -> None:
    edited(tmp_path / "m.safetensors", header, arrays)
    with pytest.raises(UserError, match=f"damaged: .*{words}"):
        load_model(tmp_path / "m.safetensors")


def test_what_was_not_edited_is_read(tmp_path: Path) -> None:
    edited(tmp_path / "m.safetensors", {"members": stored()}, {})
    assert load_model(tmp_path / "m.safetensors").header() == ensemble().header()


def other(**values: Any) -> ModelFile:
    """A member with something else."""
    return dataclasses.replace(member(), **values)


LINES = member().config.with_values({"lines": True})
ELSEWHERE = counted(IDS, len(VOCABULARY), 3)
UNFIT = {
    "no member": ([], [], "0 models"),
    "a weight too few": ([member()], [], "1 models cannot have 0 weights"),
    "NaN": ([member()], [math.nan], "weight cannot be nan"),
    "infinite": ([member()], [-math.inf], "weight cannot be -inf"),
    "too many": ([member()] * 65, [1.0] * 65, "64 members at most, and these are 65"),
    "characters": ([member(), other(vocabulary=Vocabulary("char", "\n abcdehilnosu"))], [1.0, 1.0], "model 1 .* characters"),
    "lines": ([member(), other(config=LINES)], [1.0, 1.0], "model 1 .* lines"),
    "counts": ([member(), other(counts=ELSEWHERE)], [1.0, 1.0], "model 1 .* counts"),
    "context": ([member(), member(block_size=8)], [1.0, 1.0], "member 1 has block_size=8, and another 12"),
}


@pytest.mark.parametrize(("files", "weights", "words"), UNFIT.values(), ids=UNFIT.keys())
def test_what_does_not_go_together_is_refused(files: list[ModelFile], weights: list[float], words: str) -> None:
    with pytest.raises(UserError, match=words):
        combined(files, weights)


def test_equal_counts_need_not_be_the_same_object() -> None:
    again = counted(np.random.default_rng(0).integers(0, len(VOCABULARY), 300), len(VOCABULARY), 3)
    assert combined([member(), other(counts=again)], [0.5, 0.5]).counts is COUNTS
