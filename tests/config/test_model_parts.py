"""Parts: together they are the whole model, and each is where it is said to be."""

from collections import Counter
from pathlib import Path

import pytest

import letterwise.model
from letterwise.config.accounting import ROLES
from letterwise.config.parts import parts
from letterwise.config.presets import PRESETS, SIZES, resolve
from letterwise.model import build

FOLDER = Path(letterwise.model.__file__).parent
ROLE_OF = {"feed-forward": "feedforward"}  # a part's name, where it is not that of its role


@pytest.mark.parametrize("flags", [{}, {"tied": True}, {"n_layer": 0, "positions": "rotary"}], ids=str)
@pytest.mark.parametrize("preset", PRESETS)
def test_parts_are_the_whole(preset: str, flags: dict) -> None:
    """The oracle: the tensors of the transformer itself, each under the first word of its name that is a role."""
    config = resolve({"preset": preset, **flags}).model
    held: Counter[str] = Counter()
    for name, weight in build(config, 65, "meta").named_parameters():
        held[next(ROLES[word] for word in name.split(".") if word in ROLES)] += weight.numel()
    found = {ROLE_OF.get(part.name, part.name): part.params for part in parts(config, 65)}
    assert {name: params for name, params in found.items() if params} == held
    assert ("prior" in found) == bool(config.counts_order)
    assert ("positions" in found) == ("attention" in found) == bool(config.n_layer)


@pytest.mark.parametrize("size", SIZES)
def test_each_is_a_file_that_is_there_and_does_it(size: str) -> None:
    found = parts(resolve({"size": size}).model, 100)
    does = {"embedding": "self.tokens =", "positions": "def embed", "prior": "class Prior", "attention": "class Attention"}
    does |= {"feed-forward": "class FeedForward", "norms": "def build_norm", "head": "self.head ="}
    assert [part.name for part in found] == list(does)
    for part in found:
        assert does[part.name] in (FOLDER / part.file).read_text()
        assert part.says.endswith(".")
        assert len(part.says) < 150
