"""Passes: a model over a text, window by window, by a stated protocol.

    ids ──sweep──▶ windows ──TextModel, a thread to a batch──▶ nats (n,) of the targets, in the order of the text
blocks    windows of block_size side by side; a window's first character has no context (nanoGPT's, made deterministic)
eighth    windows overlap by an eighth; a character is scored with at least an eighth of a context before it
sliding   windows overlap by half; a character is scored where it sees most, with at least half a context before it
          (which is just what `Sequence` sees when it writes on past a full context)

For a model of lines each line is a text of its own: its first window begins with the line break before it.

All three predict every character but the text's first exactly once, in float32, in batches whose size depends on the model
alone: the same model and text give the same figures, whoever asks. Windows bound what the transformer sees; counts, for a
model that has them, always know the last characters of the text, 128 at most, as they do when it writes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from letterwise.checkpoint.text_model import TextModel
from letterwise.data.batches import NO_TARGET, Windows, sweep
from letterwise.data.vocabulary import require_ids
from letterwise.distributed.world import ALONE, World
from letterwise.errors import UserError
from letterwise.evaluation.protocols import overlap_of
from letterwise.loss import each_nats
from letterwise.runtime.side_by_side import side_by_side
from letterwise.shapes import Float, Int

NUMBERS_IN_FLIGHT = {"cpu": 2**19}  # widest activation of a batch: on a CPU, small enough to stay in cache
DEFAULT_IN_FLIGHT = 2**26
MAX_THREADS = 16  # that compute a batch each; more of them would wait for each other in Python


@dataclass(frozen=True)
class Pass:
    """Some windows' targets, one after another, how surprising each is, and how many of them each window has."""

    targets: Int[Tensor, "n"]
    nats: Float[Tensor, "n"]
    counting_nats: Float[Tensor, "n"] | None  # by counting alone, where the model has counts
    lengths: list[int]
    logits: Float[Tensor, "n V"] | None  # where they were asked for


def passes(
    model: TextModel,
    ids: np.ndarray,
    *,
    protocol: str = "blocks",
    every: int = 1,
    start: int = 0,
    with_logits: bool = False,
    between: Callable[[], None] | None = None,
    world: World = ALONE,
) -> Iterator[Pass]:
    """The windows of `ids` (N,), or each `every`-th of them. For a model of lines, the first of `ids` is its line break.

    The first begins at `start`: what is before it is known to counts only. Of several processes, this one's.

    `between` is called before each layer of each batch, by any thread, and may raise to give up. Leaves the model's mode and
    all randomness as they were. Raises `UserError` when there is nothing to predict, or the protocol is not known.
    """
    if len(ids) - start < 2:
        raise UserError(f"there is nothing to predict: that takes 2 characters or more, and the text has {len(ids) - start}.")
    block_size, transformer, device = model.block_size, model.transformer, model.device
    overlap = overlap_of(protocol, block_size)
    require_ids(ids, transformer.vocab_size)
    widest = block_size * max(transformer.vocab_size, transformer.config.hidden)
    fitting = NUMBERS_IN_FLIGHT.get(device.type, DEFAULT_IN_FLIGHT) // widest
    threads = min(torch.get_num_threads(), MAX_THREADS) if device.type == "cpu" and fitting else 1
    was_training = transformer.training
    transformer.eval()
    layers = transformer.blocks if between else ()
    hooks = [layer.register_forward_pre_hook(lambda *layer_and_inputs: between and between()) for layer in layers]
    try:
        batches = sweep(ids[start:], block_size, max(1, fitting), overlap=overlap, every=every, line_break=model.line_break)
        if model.in_shares:
            for mine, counts, others in world.in_rounds(batches):
                made = read(model, ids, mine, start, with_logits)
                for _ in range(max(map(len, others)) - len(mine)):  # as often as the others, who wait for each block
                    read(model, ids, mine[:1], start, with_logits)
                if counts:
                    yield made
            return
        mine = world.mine(batches)
        yield from side_by_side(lambda together: read(model, ids, together, start, with_logits), mine, threads)
    finally:
        for hook in hooks:
            hook.remove()
        transformer.train(was_training)


def read(model: TextModel, ids: np.ndarray, together: list[Windows], start: int, with_logits: bool) -> Pass:
    """What the model makes of a few batches of windows of `ids` (N,), whose places are counted from `start`."""
    made = []
    for starts, inputs, targets in together:
        x, y = torch.from_numpy(inputs).to(model.device), torch.from_numpy(targets).to(model.device)
        log_prior = model.log_prior(ids, start + starts, x.size(1))
        asked, lengths = (y != NO_TARGET).flatten().nonzero()[:, 0], (y != NO_TARGET).sum(-1).tolist()
        with torch.inference_mode():
            states, y = picked(model.transformer.states(x, log_prior=log_prior), asked), picked(y, asked)
            log_prior = None if log_prior is None else picked(log_prior, asked)
            logits = model.transformer.scores(states[None], None if log_prior is None else log_prior[None])[0]
            counting = None if log_prior is None else each_nats(log_prior[:, -1, :-1], y)
            made.append(Pass(y, each_nats(logits, y), counting, lengths, logits if with_logits else None))
    return in_order(made, np.concatenate([windows.starts for windows in together]))


def picked(numbers: Tensor, places: Int[Tensor, "n"]) -> Tensor:
    """(n, …) of (B, T, …), of which `places` count B·T: four times faster than by a mask."""
    return numbers.flatten(0, 1).index_select(0, places)


def in_order(made: list[Pass], starts: np.ndarray) -> Pass:
    """Several passes as one, their windows in the order of their `starts`."""
    if len(made) == 1 and (np.diff(starts) > 0).all():
        return made[0]
    lengths, order = [length for some in made for length in some.lengths], np.argsort(starts).tolist()

    def joined(parts: list[Tensor]) -> Tensor:
        windows = torch.cat(parts).split(lengths)
        return torch.cat([windows[i] for i in order])

    counting = [some.counting_nats for some in made if some.counting_nats is not None]
    logits = [some.logits for some in made if some.logits is not None]
    return Pass(
        joined([some.targets for some in made]),
        joined([some.nats for some in made]),
        joined(counting) if counting else None,
        [lengths[i] for i in order],
        joined(logits) if logits else None,
    )
