"""Parts: what a model is made of, for somebody who wants to know.

ModelConfig, vocab_size ──accounting─▶ name · trained numbers · the file that is it · one sentence, in the order of the flow
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

from letterwise.config.accounting import parameters
from letterwise.config.declaration import ModelConfig


@dataclass(frozen=True)
class Part:
    """A part of a model: how many trained numbers it has, which file of letterwise/model it is, and what it does."""

    name: str
    params: int
    file: str
    says: str


def parts(config: ModelConfig, vocab_size: int) -> list[Part]:
    """The parts of `Transformer(config, vocab_size)`, from its input to its output; together they hold all of its numbers."""
    return [*_before_blocks(config, vocab_size), *_in_blocks(config, vocab_size), _head(config, vocab_size)]


def _before_blocks(config: ModelConfig, vocab_size: int) -> Iterator[Part]:
    """What makes numbers of characters."""
    held, width = parameters(config, vocab_size), config.n_embd
    says = f"Each of the {vocab_size} characters has a row of {width} numbers; what is used alike becomes alike."
    yield Part("embedding", held.embedding, "transformer.py", says)
    if config.n_layer:
        yield Part("positions", held.positions, "positions.py", _positions(config))
    if before := config.counts_order:
        says = (
            f"It looks up what followed the last {before - 1} characters in the training text, and learns when to trust that."
        )
        yield Part("prior", held.prior, "prior.py", says)


def _positions(config: ModelConfig) -> str:
    """How the order of characters counts."""
    match config.positions:
        case "learned":
            return f"Each of the {config.block_size} places in the context has a row of numbers, too: so order counts."
        case "rotary":
            return "Queries and keys are turned by an angle that grows with the place: there is nothing to learn."
        case _:
            assert_never(config.positions)


def _in_blocks(config: ModelConfig, vocab_size: int) -> Iterator[Part]:
    """What all layers have."""
    held, layers = parameters(config, vocab_size), config.n_layer
    if layers:
        where = f"{layers} layer{'s' * (layers > 1)} of {config.n_head} head{'s' * (config.n_head > 1)}"
        says = f"Each character looks at itself and at those before it, and takes over what it needs, in {where}."
        yield Part("attention", held.attention, "attention.py", says)
        says = f"Each character works on what it took up, by itself, with {config.hidden} numbers in each layer."
        yield Part("feed-forward", held.feedforward, "feedforward.py", says)
    if held.norms:
        says = "They bring numbers to one size, so that these do not grow from layer to layer."
        yield Part("norms", held.norms, "normalization.py", says)


def _head(config: ModelConfig, vocab_size: int) -> Part:
    """What makes scores of numbers."""
    says = f"It makes the last {config.n_embd} numbers a score for each of the {vocab_size} characters that may come next"
    says += ", with the embedding's own rows." if config.tied else "."
    return Part("head", parameters(config, vocab_size).head, "transformer.py", says)
