"""Inside: what a model computes of a text that fits its context, to be looked at.

ids (…, T) ──TextModel──▶ logits (…, T, V)
ids (T,) ───────────────▶ attention (layers, heads, T, T) · lens (layers+1, T, V)
embedding (V, C) ───────▶ map (V, 2)
"""

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from letterwise.checkpoint.text_model import TextModel
from letterwise.data.vocabulary import require_ids
from letterwise.errors import UserError, finite
from letterwise.model import Transformer
from letterwise.model.attention import Attention
from letterwise.shapes import Float, Int


@torch.no_grad()
def logits(model: TextModel, ids: Any) -> Float[Tensor, "*batch T V"]:
    """The score of each next character after each of `ids` (T,) or (B, T), nothing being before them.

    Raises `UserError` when they are none, do not fit the context, or are not in the vocabulary.
    """
    given = np.asarray(torch.as_tensor(ids).cpu())
    if given.ndim not in (1, 2) or not given.size or given.dtype.kind not in "iu":
        raise UserError(f"ids of shape {given.shape} and type {given.dtype} are not one text or several, (T,) or (B, T).")
    tokens, log_prior = inputs(model, np.atleast_2d(given))
    scores = model.transformer(tokens, log_prior=log_prior)
    finite(float(scores.max()))
    return scores.reshape(*given.shape, len(model.vocabulary))


def inputs(model: TextModel, given: np.ndarray) -> tuple[Int[Tensor, "B T"], Float[Tensor, "B T K E"] | None]:
    """What a transformer reads of whole texts (B, T): ids, and what counting says of each next character.

    Raises `UserError` as `logits` does.
    """
    rows = given.astype(np.int64)
    length = rows.shape[1]
    if length > model.block_size:
        raise UserError(f"a text of {length:,} characters does not fit the context of {model.block_size:,}: give a part.")
    require_ids(rows.reshape(-1), len(model.vocabulary))
    priors = [model.log_prior(row, np.zeros(1, np.int64), length) for row in rows]
    known = [prior for prior in priors if prior is not None]
    return torch.from_numpy(rows).to(model.device), torch.cat(known) if known else None


def of_its_own(model: TextModel, purpose: str) -> Transformer:
    """The same weights in modules of their own: a hook on these is called by no other thread that reads with the model.

    Raises `UserError` for an ensemble, which the `purpose` has no use for.
    """
    transformer = model.lone_transformer(purpose)
    shared = {id(tensor): tensor for tensor in (*transformer.parameters(), *transformer.buffers())}
    return copy.deepcopy(transformer, shared)


@torch.no_grad()
def attention(model: TextModel, ids: Any) -> Float[Tensor, "layers H T T"]:
    """How much of each character every character reads, in each head of each layer: rows sum to 1, and none reads ahead.

    Raises `UserError` as `logits` does.
    """
    seen: list[Tensor] = []
    hooked = of_its_own(model, "attention")
    for part in hooked.modules():
        if isinstance(part, Attention):
            part.register_forward_pre_hook(lambda part, given: seen.append(part.weights(*given[:2])[0]))
    logits(replace(model, build=lambda: hooked), ids)
    return torch.stack(seen) if seen else torch.zeros(0, model.config.n_head, len(ids), len(ids))


@torch.no_grad()
def lens(model: TextModel, ids: Any) -> Float[Tensor, "stages T V"]:
    """What would come next if the blocks ended earlier: logits after the embedding and after each block.

    The logit lens (nostalgebraist 2020): the residual stream of each stage goes through the last normalization and the head. To
    these the prior is added, as the head adds it: gates that the stage's own stream opens. The last stage is `logits`.

    Raises `UserError` as `logits` does, and for more than one text.
    """
    given = np.asarray(torch.as_tensor(ids).cpu())
    if given.ndim != 1 or not given.size or given.dtype.kind not in "iu":
        raise UserError(f"ids of shape {given.shape} and type {given.dtype} are not one text, (T,).")
    (tokens, log_prior), transformer = inputs(model, given[None]), of_its_own(model, "the logit lens")
    streams: list[Tensor] = []
    stages = [transformer.drop, *transformer.blocks]  # dropout of the embedding is the last before the first block
    for part in stages:
        part.register_forward_hook(lambda part, given, x: streams.append(x))
    transformer.states(tokens, log_prior=log_prior)
    scores = torch.cat([transformer.scores(transformer.norm(x), log_prior) for x in streams])
    finite(float(scores[-1].max()))
    return scores


@dataclass(frozen=True)
class EmbeddingMap:
    """Characters in a plane: `points` (V, 2), one for each id, and which share of all variance each axis shows."""

    points: np.ndarray
    explained: tuple[float, float]


def embedding_map(embedding: np.ndarray) -> EmbeddingMap:
    """The first two principal components of an embedding (V, C): characters that are alike to the model lie side by side.

    Each axis points to where its farthest character lies, so that equal weights give equal maps.
    """
    centred = embedding.astype(np.float64) - embedding.mean(0, dtype=np.float64)
    left, scale, _ = np.linalg.svd(centred, full_matrices=False)
    points, explained = np.zeros((len(centred), 2)), np.zeros(2)
    found = (left * scale)[:, :2]
    farthest = found[np.abs(found).argmax(0), np.arange(found.shape[1])]
    points[:, : found.shape[1]] = found * np.where(farthest < 0, -1.0, 1.0)
    explained[: found.shape[1]] = (scale**2)[:2] / max(float((scale**2).sum()), np.finfo(float).tiny)
    return EmbeddingMap(points, (float(explained[0]), float(explained[1])))
