"""Every value of every brick: both backends say what the model says, and a value that is not known is refused."""

import itertools
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from inference.test_engine import SHAPE, V, compiled, lively
from priors import counts_for

from letterwise.checkpoint.model_file import Member
from letterwise.checkpoint.weights import weights_of
from letterwise.config import ModelConfig
from letterwise.config.accounting import parameters
from letterwise.data.batches import Cuts
from letterwise.inference.cpu.layout import kernel_config
from letterwise.inference.cpu.scoring import WindowScorer
from letterwise.inference.engine import Sequence
from letterwise.inference.torch_backend import TorchBackend
from letterwise.model import build

KINDS = get_type_hints(ModelConfig)
BRICKS = {name: get_args(kind) for name, kind in KINDS.items() if get_origin(kind) is Literal}
SWITCHES = [name for name, kind in KINDS.items() if kind is bool and name not in ("shared_dropout", "zero_output")]
REST = [
    {"n_kv_head": 1} | dict.fromkeys(SWITCHES, True),
    {"n_kv_head": 2, "counts_order": 0, "softcap": 0.0} | dict.fromkeys(SWITCHES, False),
    {"ffn_hidden": 24},
]


def test_the_bricks_are_found() -> None:
    assert {"positions", "norm", "norm_order", "activation"} <= BRICKS.keys()
    assert {"bias", "tied", "qk_norm", "embed_norm"} <= set(SWITCHES)


@pytest.mark.parametrize("values", [*itertools.product(*BRICKS.values())], ids=" ".join)
def test_what_writes_equals_the_model_with_every_value_of_every_brick(values: tuple[str, ...]) -> None:
    """At every place of a context, whatever else the model is built from."""
    for rest in REST:
        assert_all_say_the_same({"counts_order": 3, **dict(zip(BRICKS, values, strict=True)), **rest})


@pytest.mark.parametrize("shape", [{"n_embd": 3, "n_head": 1}, {"n_embd": 5, "n_head": 5}, {"n_embd": 15, "n_head": 3}])
def test_an_odd_width_without_layers(shape: dict[str, int]) -> None:
    """Rotary positions are of no use there. Half a pair of them took the place of the weights behind it."""
    assert_all_say_the_same({"n_layer": 0, "counts_order": 3, **shape})


def assert_all_say_the_same(bricks: dict[str, Any]) -> None:
    """Both backends, and what scores, give what the model gives, at every place of a context."""
    model = lively(ModelConfig(**{**SHAPE, **bricks}))
    ids = torch.randint(V, (1, 12), generator=torch.Generator().manual_seed(1))
    counts, log_prior = counts_for(model), None
    if counts and model.prior:
        log_prior = torch.from_numpy(counts.log_probs_at(ids[0].numpy(), np.array([0]), 12, model.prior.orders))
    with torch.no_grad():
        plain = model(ids, log_prior=log_prior)[0].numpy()
    for backend in (compiled(model, counts), TorchBackend(model, counts)):
        sequence = Sequence(backend)
        for place, id in enumerate(ids[0].tolist()):
            np.testing.assert_allclose(sequence.read([id]), plain[place], rtol=1e-4, atol=1e-4, err_msg=str(bricks))
    windows = Cuts(*(np.array([number]) for number in (0, 11, 3)))
    scorer = WindowScorer([Member(model.config, 1.0, weights_of(model))], V, counts)
    costs = F.cross_entropy(torch.from_numpy(plain[:-1]), ids[0, 1:], reduction="none").numpy()
    np.testing.assert_allclose(scorer.nats(ids[0].numpy(), windows)[4:], costs[3:], rtol=1e-4, atol=1e-4, err_msg=str(bricks))


DECIDE: dict[str, Callable[[ModelConfig], Any]] = {
    "model": lambda config: build(config, V),
    "kernel": lambda config: kernel_config(config, V),
    "accounting": lambda config: parameters(config, V),
}


@pytest.mark.parametrize("decide", DECIDE)
@pytest.mark.parametrize("brick", BRICKS)
def test_a_value_that_is_not_known_is_refused(brick: str, decide: str) -> None:
    """It does not run as one of the others."""
    config = ModelConfig(**SHAPE)
    DECIDE[decide](config)
    object.__setattr__(config, brick, "third")
    with pytest.raises(AssertionError, match="'third'"):
        DECIDE[decide](config)
