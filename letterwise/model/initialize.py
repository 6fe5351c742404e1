"""Initialization: every weight by the role it plays, in one place.

role                  where it stands                       starts at
embedding             tokens, learned positions             normal, 0.02; or 1 when a norm follows (embed_norm)
matrix                qkv, up                               normal, 0.02; or ½/√fan_in (zero_output)
residual output       attention.out, feedforward.down       normal, 0.02/√(2·n_layer); or 0 (zero_output)
prior                 read; gates                           as a matrix; 0, but 1 for the longest order
head                  head                                  normal, 0.02; or 0 (zero_output); tied: the embedding's
gain, bias            norms, linear layers                  1, 0

0.02 is GPT-2's (Radford et al. 2019 §2.3), as is dividing by the root of the number of residual additions: the stream's
variance then does not grow with depth. Starting every block at zero output makes the fresh model the identity (Zhang et al.
2019, Fixup): the first steps train the head and the embedding, and the blocks follow. A head at zero gives all
characters the same probability, so training starts at exactly ln V nats.
"""

import math

import torch
from torch import Tensor, nn

from letterwise.model.attention import Attention
from letterwise.model.feedforward import FeedForward
from letterwise.model.positions import LearnedPositions
from letterwise.model.transformer import Transformer


def initialize(model: Transformer, seed: int) -> Transformer:
    """Fill all weights of `model`, in place, from `seed`; give it back. The same seed gives the same weights."""
    config = model.config
    generator = torch.Generator().manual_seed(seed)

    def normal(weight: Tensor, std: float) -> None:
        weight.copy_(torch.randn(weight.shape, generator=generator) * std)  # drawn on the CPU: the same on every device

    def matrix(linear: nn.Linear) -> None:
        normal(linear.weight, 0.5 / math.sqrt(linear.in_features) if config.zero_output else 0.02)

    def residual_output(linear: nn.Linear) -> None:
        normal(linear.weight, 0.0 if config.zero_output else 0.02 / math.sqrt(2 * config.n_layer))

    with torch.no_grad():
        for module in model.modules():
            match module:
                case LearnedPositions():
                    normal(module.table, 1.0 if config.embed_norm else 0.02)
                case Attention():
                    matrix(module.qkv)
                    residual_output(module.out)
                case FeedForward():
                    matrix(module.up)
                    residual_output(module.down)
                case nn.Linear():
                    if module.bias is not None:
                        module.bias.zero_()
                case nn.LayerNorm():
                    module.weight.fill_(1.0)
                    if module.bias is not None:
                        module.bias.zero_()
                case nn.RMSNorm():
                    module.weight.fill_(1.0)
        if model.prior:
            normal(model.prior.read.weight, 0.5 / math.sqrt(model.vocab_size) if config.zero_output else 0.02)
            model.prior.gates.weight.zero_()
            model.prior.gates.bias.copy_(torch.eye(model.prior.orders)[-1])
        normal(model.head.weight, 0.0 if config.zero_output else 0.02)
        normal(model.tokens.weight, 1.0 if config.embed_norm else 0.02)  # last: a tied head is this same matrix
    return model
