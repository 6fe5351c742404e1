"""Multi-token prediction: a guess at the character after the next, for training's sake alone."""

import math

import pytest
import torch
import torch.nn.functional as F

from letterwise.config import ModelConfig
from letterwise.data.batches import NO_TARGET
from letterwise.model import Transformer, build, initialize
from letterwise.training.optimizers.multi_token import MultiTokenHead


@pytest.fixture
def model() -> Transformer:
    return initialize(build(ModelConfig(n_layer=1, n_head=1, n_embd=8, block_size=6, counts_order=0), 5), 0)


def test_it_starts_with_all_characters_alike(model: Transformer) -> None:
    h, targets = torch.randn(2, 6, 8), torch.randint(5, (2, 6))
    assert MultiTokenHead(model)(h, targets).item() == pytest.approx(math.log(5))


def test_it_scores_the_target_after_each_target(model: Transformer) -> None:
    """Place by place: what the head says at t, against the target of t + 1."""
    head, h, targets = MultiTokenHead(model), torch.randn(2, 6, 8), torch.randint(5, (2, 6))
    torch.nn.init.normal_(head.head.weight)
    told = [-F.log_softmax(head.head.weight @ h[b, t], dim=0)[targets[b, t + 1]].item() for b in range(2) for t in range(5)]
    assert head(h, targets).item() == pytest.approx(sum(told) / len(told), rel=1e-5)


def test_a_window_of_one_has_nothing_further_on(model: Transformer) -> None:
    assert MultiTokenHead(model)(torch.randn(2, 1, 8), torch.randint(5, (2, 1))).item() == 0


def test_what_the_blocks_say_is_all_that_is_scored(model: Transformer) -> None:
    tokens = torch.randint(5, (2, 6))
    assert torch.equal(model(tokens), model.scores(model.states(tokens)))


def test_what_is_no_target_is_not_guessed(model: Transformer) -> None:
    """Rows of lines are filled up: neither what stands there nor how much of it matters."""
    head = MultiTokenHead(model)
    torch.nn.init.normal_(head.head.weight)
    h, targets = torch.randn(1, 6, 8), torch.tensor([[1, 2, 3, 0, NO_TARGET, NO_TARGET]])
    whole = head(h[:, :4], targets[:, :4])
    assert head(h, targets).item() == pytest.approx(whole.item(), rel=1e-6)
