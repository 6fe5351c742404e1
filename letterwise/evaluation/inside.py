"""Inside: what a model computes of a text that fits its context, to be looked at.

ids (…, T) ──Counts──▶ what counts say ──Transformer──▶ logits (…, T, V)
ids (T,) ─────────────────────────────────────────────▶ attention (layers, heads, T, T)
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from letterwise.data.vocabulary import require_ids
from letterwise.errors import UserError, finite
from letterwise.model import Transformer
from letterwise.model.attention import Attention
from letterwise.ngrams import Counts


@torch.no_grad()
def logits(model: Transformer, counts: Counts | None, ids: Any) -> Float[Tensor, "*batch T V"]:
    """The score of each next character after each of `ids` (T,) or (B, T), nothing being before them.

    Raises `UserError` when they are none, do not fit the context, or are not in the vocabulary.
    """
    given = np.asarray(torch.as_tensor(ids).cpu())
    if given.ndim not in (1, 2) or not given.size or given.dtype.kind not in "iu":
        raise UserError(f"ids of shape {given.shape} and type {given.dtype} are not one text or several, (T,) or (B, T).")
    rows = np.atleast_2d(given).astype(np.int64)
    if rows.shape[1] > model.config.block_size:
        raise UserError(
            f"a text of {rows.shape[1]:,} characters does not fit the context of {model.config.block_size:,}: give a part."
        )
    require_ids(rows.reshape(-1), model.vocab_size)
    device, told = next(model.parameters()).device, None
    if counts and model.prior:
        prior = [counts.before(row, np.zeros(1, np.int64), len(row), model.prior.orders) for row in rows]
        told = torch.from_numpy(np.concatenate(prior)).to(device)
    scores = model(torch.from_numpy(rows).to(device), log_prior=told)
    finite(float(scores.max()))
    return scores.reshape(*given.shape, model.vocab_size)


@torch.no_grad()
def attention(model: Transformer, counts: Counts | None, ids: Any) -> Float[Tensor, "layers H T T"]:
    """How much of each character every character reads, in each head of each layer: rows sum to 1, and none reads ahead.

    Raises `UserError` as `logits` does.
    """
    seen: list[Tensor] = []
    hooks = [
        part.register_forward_pre_hook(lambda part, given: seen.append(part.weights(*given[:2])[0]))
        for part in model.modules()
        if isinstance(part, Attention)
    ]
    try:
        logits(model, counts, ids)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(seen) if seen else torch.zeros(0, model.config.n_head, len(ids), len(ids))
