"""Inside: what a model computes of a text that fits its context, to be looked at.

ids (…, T) ──TextModel──▶ logits (…, T, V)
ids (T,) ───────────────▶ attention (layers, heads, T, T)
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from letterwise.checkpoint.text_model import TextModel
from letterwise.data.vocabulary import require_ids
from letterwise.errors import UserError, finite
from letterwise.model.attention import Attention
from letterwise.shapes import Float


@torch.no_grad()
def logits(model: TextModel, ids: Any) -> Float[Tensor, "*batch T V"]:
    """The score of each next character after each of `ids` (T,) or (B, T), nothing being before them.

    Raises `UserError` when they are none, do not fit the context, or are not in the vocabulary.
    """
    given = np.asarray(torch.as_tensor(ids).cpu())
    if given.ndim not in (1, 2) or not given.size or given.dtype.kind not in "iu":
        raise UserError(f"ids of shape {given.shape} and type {given.dtype} are not one text or several, (T,) or (B, T).")
    rows = np.atleast_2d(given).astype(np.int64)
    length, size = rows.shape[1], len(model.vocabulary)
    if length > model.block_size:
        raise UserError(f"a text of {length:,} characters does not fit the context of {model.block_size:,}: give a part.")
    require_ids(rows.reshape(-1), size)
    priors = [model.log_prior(row, np.zeros(1, np.int64), length) for row in rows]
    known = [prior for prior in priors if prior is not None]
    scores = model.transformer(torch.from_numpy(rows).to(model.device), log_prior=torch.cat(known) if known else None)
    finite(float(scores.max()))
    return scores.reshape(*given.shape, size)


@torch.no_grad()
def attention(model: TextModel, ids: Any) -> Float[Tensor, "layers H T T"]:
    """How much of each character every character reads, in each head of each layer: rows sum to 1, and none reads ahead.

    Raises `UserError` as `logits` does.
    """
    seen: list[Tensor] = []
    hooks = [
        part.register_forward_pre_hook(lambda part, given: seen.append(part.weights(*given[:2])[0]))
        for part in model.transformer.modules()
        if isinstance(part, Attention)
    ]
    try:
        logits(model, ids)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(seen) if seen else torch.zeros(0, model.transformer.config.n_head, len(ids), len(ids))
