"""The architecture that was asked for, as one would write it on a blackboard: the oracle for preset `classic`.

Attention(Q, K, V) = softmax(QKᵀ/√d_k) V under a lower-triangular mask;  x = LayerNorm(x + component(x));  head to V
"""

import math

import torch
from torch import Tensor


def layer_norm(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + 1e-5) * gain + shift


def softmax(scores: Tensor) -> Tensor:
    exponentials = torch.exp(scores - scores.max(-1, keepdim=True).values)
    return exponentials / exponentials.sum(-1, keepdim=True)


def attention(x: Tensor, w: dict[str, Tensor], heads: int) -> Tensor:
    length, width = x.shape
    d_k = width // heads
    queries, keys, values = (
        x @ matrix.T + bias for matrix, bias in zip(w["qkv.weight"].chunk(3), w["qkv.bias"].chunk(3), strict=True)
    )
    mask = torch.tril(torch.ones(length, length)) == 1
    outputs = []
    for h in range(heads):
        mine = slice(h * d_k, (h + 1) * d_k)
        scores = queries[:, mine] @ keys[:, mine].T / math.sqrt(d_k)
        scores = torch.where(mask, scores, torch.tensor(-math.inf))
        outputs.append(softmax(scores) @ values[:, mine])
    return torch.cat(outputs, dim=-1) @ w["out.weight"].T + w["out.bias"]


def feedforward(x: Tensor, w: dict[str, Tensor]) -> Tensor:
    hidden = torch.clamp(x @ w["up.weight"].T + w["up.bias"], min=0)
    return hidden @ w["down.weight"].T + w["down.bias"]


def under(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}


def logits(tokens: Tensor, weights: dict[str, Tensor], layers: int, heads: int) -> Tensor:
    """Scores (T, V) for one sequence of tokens (T,)."""
    x = weights["tokens.weight"][tokens] + weights["positions.table"][: len(tokens)]
    for i in range(layers):
        w = under(weights, f"blocks.{i}.")
        x = x + attention(x, under(w, "attention."), heads)
        x = layer_norm(x, w["attention_norm.weight"], w["attention_norm.bias"])
        x = x + feedforward(x, under(w, "feedforward."))
        x = layer_norm(x, w["feedforward_norm.weight"], w["feedforward_norm.bias"])
    return x @ weights["head.weight"].T


def mean_nats(tokens: Tensor, targets: Tensor, weights: dict[str, Tensor], layers: int, heads: int) -> Tensor:
    probabilities = softmax(logits(tokens, weights, layers, heads))
    return -torch.log(probabilities[torch.arange(len(targets)), targets]).mean()
