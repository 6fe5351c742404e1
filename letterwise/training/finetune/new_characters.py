"""New characters: the head's rows for characters that the base model has never seen.

hidden states of text that the model wrote itself ──least squares──▶ one row, whose logit is far below all others

A row of zeros would not do: its logit would be 0, whatever the others are, and a character that never occurred could take most
of the probability. So the row is fitted: for each state h of a text, row · h should lie `MARGIN` nats or more below the
logarithm of the sum of all others, so that old characters keep their probabilities, and a new one costs some 10 nats until it
is learned.
"""

import numpy as np
import torch
from torch import Tensor

from letterwise.checkpoint.text_model import TextModel

MARGIN, MORE, TRIES = 10.0, 4.0, 6  # nats below the others; how much more at each further try
ALLOWED = 3e-4  # nats per character that old ones may lose
RIDGE = 1e-3  # of the states' mean square, added to the diagonal: what a few states cannot tell stays small


def quieten(model: TextModel, ids: np.ndarray, new: np.ndarray) -> None:
    """Give characters `new` (n,) their first rows of the head, in place, fitted on a text's `ids` (N,) of old characters."""
    transformer = model.lone_transformer("fine-tuning")
    with torch.no_grad():
        states, prior = _states(model, ids)
        old = torch.ones(transformer.vocab_size, dtype=torch.bool)
        old[new] = False
        scores = transformer.scores(states, prior)[0]
        rest = torch.logsumexp(scores[:, old], dim=-1)
        given = (
            scores[:, new].amax(-1) - transformer.cap(transformer.head(states))[0][:, new[0]]
        )  # by counts, of any new character
        for attempt in range(TRIES):
            if _lost(transformer.scores(states, prior)[0], old) <= ALLOWED:
                return
            wanted = rest - given - np.log(len(new)) - MARGIN - MORE * attempt
            transformer.head.weight[new] = _row(states[0], _uncapped(wanted, transformer.config.softcap))


def _states(model: TextModel, ids: np.ndarray) -> tuple[Tensor, Tensor | None]:
    """Hidden states of a text in windows of the context, as one row (1, N', C), and what counts say (1, N', K, V+1)."""
    length = min(model.block_size, len(ids) - 1)
    starts = np.arange(0, len(ids) - length, length)
    windows = torch.from_numpy(ids[starts[:, None] + np.arange(length)].astype(np.int64))
    prior = model.log_prior(ids, starts, length)
    states = model.transformer.states(windows.to(model.device), log_prior=prior)
    return states.reshape(1, -1, states.shape[-1]), None if prior is None else prior.reshape(1, -1, *prior.shape[2:])


def _row(states: Tensor, wanted: Tensor) -> Tensor:
    """The row (C,) whose products with states (N, C) come nearest to `wanted` (N,)."""
    h, w = states.double().cpu(), wanted.double().cpu()
    ridge = RIDGE * h.pow(2).mean() * len(h)
    row = torch.linalg.solve(h.T @ h + ridge * torch.eye(h.shape[1], dtype=torch.double), h.T @ w)
    return row.to(states)


def _uncapped(logits: Tensor, cap: float) -> Tensor:
    """What the head has to give so that a softcap makes these logits of it, as far as it can."""
    return cap * torch.atanh((logits / cap).clamp(-0.95, 0.95)) if cap else logits


def _lost(scores: Tensor, old: Tensor) -> float:
    """How much probability goes to other than old characters, in nats per character."""
    log_probs = torch.log_softmax(scores.double(), dim=-1)
    return -float(torch.logsumexp(log_probs[:, old], dim=-1).mean())
