"""Memory: what a run needs is estimated before it starts, and held against what there is.

    Config, vocabulary, characters ──needs──▶ bytes ──fitted_to_memory──▶ as it was · smaller batches · a sentence

Without this the kernel kills the process without a word. Where nobody asked for a batch size, batches are halved and twice as
many accumulated, which is the same to the model. What was asked is refused, with the nearest setting that fits.
"""

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from typing import Any

from letterwise.config import Config
from letterwise.config.accounting import FLOAT, parameters, training_bytes
from letterwise.config.declaration import OPTIMIZER_COPIES
from letterwise.config.presets import SIZES, knob_values
from letterwise.errors import UserError
from letterwise.ngrams.contexts.fit import FITTED
from letterwise.ngrams.passage_fit import IN_MEMORY
from letterwise.training.distill.predictions import kept_bytes

GIB = 2**30
MIN_COUNTED = 2**20  # characters
MAX_ACCUMULATION = 1024  # batches in one step: more are not what was meant
NOTED = 4 * GIB  # what a run needs is noted from here on
LARGE_VOCABULARY = 2**15  # characters: the score of each is kept for every place of a batch
BASE = 200 * 2**20  # compiled code, and all that does not grow
CROSS_FITTED, COUNTED, CONTEXTS = 160, 110, 250  # bytes for each character at the peak of counting in memory (docs/log.md)
FITTED_ON_DISK, ON_DISK = 3 * GIB, 2 * GIB  # of longer texts, with some room (docs/log.md)
MIN_VALUES = {"batch_size": 1, "counts_chars": 2**16, "block_size": 32, "n_layer": 1, "n_embd": 64, "ffn_hidden": 64}
ADAPTABLE = {"batch_size", "gradient_accumulation_steps", "counts_chars"}  # defaults that may change without being asked


@dataclass(frozen=True)
class Needs:
    """Bytes at a run's peak. `weights` holds gradients, the optimizer's state, the best weights, and a copy to save;
    `predicted` is what a teacher says of the text that it writes.
    """

    weights: int
    activations: int
    counts: int
    predicted: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        return BASE + self.weights + self.activations + self.counts + self.predicted

    def __str__(self) -> str:
        parts = {"weights and optimizer": self.weights, "activations": self.activations, "counts": self.counts}
        parts["a teacher's predictions"] = self.predicted
        return ", ".join(f"{name} {size_text(size)}" for name, size in parts.items() if size >= 0.01 * self.total)


def needs(config: Config, *, vocab_size: int, chars: int) -> Needs:
    """What training needs; `vocab_size` and `chars` (of the training part) in characters."""
    model, training = config.model, config.training
    counted, crossfitted = min(chars, training.counts_chars), bool(model.counts_order)
    if not training.max_iters and not training.minutes:
        return Needs(FLOAT * parameters(model, vocab_size).total, 0, counts_bytes(counted, crossfitted=False))
    copies = OPTIMIZER_COPIES[training.optimizer]
    ahead = vocab_size * model.n_embd if training.lookahead and model.n_layer else 0
    without_batch = training_bytes(model, vocab_size, 0, training.optimizer)
    weights = without_batch + FLOAT * ahead * (2 + copies)
    saved = FLOAT * (parameters(model, vocab_size).total * (2 + copies) + ahead * (1 + copies))
    best = FLOAT * parameters(model, vocab_size).total
    checkpointing = config.runtime.activation_checkpointing
    batch = training_bytes(model, vocab_size, training.batch_size, training.optimizer, checkpointing=checkpointing)
    batch -= without_batch
    scores = 2 + 3 * bool(ahead)  # times the vocabulary: gradients of logits, and those of the character after the next
    batch += FLOAT * training.batch_size * model.block_size * vocab_size * scores
    counts = counts_bytes(counted if crossfitted else min(counted, IN_MEMORY), crossfitted=crossfitted)
    if model.has_contexts(vocab_size):
        counts += CONTEXTS * min(counted, FITTED)
    predicted = kept_bytes(training.written_chars, vocab_size) if training.teacher_writes else 0
    return Needs(weights + saved + best, batch, counts, predicted)


def counts_bytes(counted: int, *, crossfitted: bool) -> int:
    """Of counting so many characters."""
    if counted <= IN_MEMORY:
        return (CROSS_FITTED if crossfitted else COUNTED) * counted
    return FITTED_ON_DISK if crossfitted else ON_DISK


def fitted_to_memory(
    config: Config, asked: Set[str], *, vocab_size: int, chars: int, available: int | None
) -> tuple[Config, str]:
    """The configuration, made to fit by changing defaults only, and a note about what changed, or is large ("" for nothing).

    Raises `UserError` when it does not fit.
    """

    def fits(smaller: Config) -> bool:
        return available is None or needs(smaller, vocab_size=vocab_size, chars=chars).total <= available

    need = needs(config, vocab_size=vocab_size, chars=chars)
    if available is None:
        return config, ""
    where = f"about {size_text(need.total)} of memory ({need}), and {size_text(available)} are free here"
    if fits(config):
        less = (
            f": --vocab byte needs far less than {vocab_size:,} different characters" if vocab_size > LARGE_VOCABULARY else ""
        )
        return config, f"this run needs {where}{less}." if need.total > NOTED else ""
    changes = nearest_fit(config, asked, fits)
    if changes and changes.keys() <= ADAPTABLE and not asked & changes.keys():
        settings = ", ".join(f"{name}={value}" for name, value in changes.items())
        return config.with_values(changes), f"this run needs {where}: it goes on with {settings}."
    advice = "free some memory" if changes is None else f"{as_flags(changes)} fits"
    recomputing = config.with_values({"activation_checkpointing": True})
    if recomputing != config:
        batches = ({}, *smaller_values(config, "batch_size"))
        batch = next((changes for changes in batches if fits(recomputing.with_values(changes))), None)
        if batch is not None:
            flags = " ".join(("--activation_checkpointing", as_flags(batch))).strip()
            advice += f", or {flags}, which takes a third more time"
    raise UserError(f"this run needs {where}: {advice}.")


def gpu_note(config: Config, *, vocab_size: int, available: int, processes: int, halved: bool) -> str:
    """A note where a GPU's memory may not do; "" where it does. Nothing is refused: no GPU was there to hold this against.

    Activations are `halved` in bfloat16. Of several processes with a GPU each, each has its share.
    """
    need = needs(config, vocab_size=vocab_size, chars=0)
    weights = training_bytes(config.model, vocab_size, 0, config.training.optimizer)
    shares = processes if config.runtime.parallel == "fsdp" else 1
    need = Needs(weights // shares, need.activations // (processes * (1 + halved)), 0)
    if need.total <= available:
        return ""
    again = "" if config.runtime.activation_checkpointing else "--activation_checkpointing, or "
    ways = f"if so, {again}a smaller --batch_size with more --gradient_accumulation_steps"
    where = f"{size_text(need.total)} of the GPU's memory ({need}), and {size_text(available)} are free"
    return f"this run may need {where}: {ways}."


def as_flags(values: dict[str, Any]) -> str:
    """--batch_size 4 --n_layer 2"""
    return " ".join(f"--{name} {value}" for name, value in values.items())


def nearest_fit(config: Config, asked: Set[str], fits: Callable[[Config], bool]) -> dict[str, Any] | None:
    """The fewest changes that fit: to the batch, else to one knob, one that was asked for first; else a size."""
    single: dict[str, Any] = {"batch_size": 1} if config.training.batch_size > 1 else {}
    fewer: dict[str, Any] = {"counts_chars": MIN_COUNTED} if config.training.counts_chars > MIN_COUNTED else {}
    for others in ({}, single, fewer, single | fewer):
        for name in dict.fromkeys(("batch_size", *(name for name in MIN_VALUES if name in asked), *MIN_VALUES)):
            for changes in smaller_values(config, name):
                if fits(config.with_values({**others, **changes})):
                    return {**others, **changes}
    for size, values in reversed(SIZES.items()):
        shape = {name: value for name, value in values.items() if name != "max_iters"}
        try:
            if fits(config.with_values({**shape, "ffn_hidden": None})):
                return {"size": size}
        except UserError:  # its heads do not suit what was asked
            continue
    return None


def smaller_values(config: Config, name: str) -> Iterator[dict[str, Any]]:
    """Half a knob's value, a quarter, and so on; of a batch, with the same number of sequences in a step as before."""
    value, sequences = knob_values(config)[name], config.training.sequences
    step = 2 * config.model.n_head if name == "n_embd" else 1
    while value and (value := value // 2 // step * step) >= MIN_VALUES[name]:
        if name == "batch_size" and sequences <= MAX_ACCUMULATION * value:
            yield {"batch_size": value, "gradient_accumulation_steps": -(-sequences // value)}
        else:
            yield {name: value}


def size_text(size: int) -> str:
    """1.5 GiB, 300 MiB"""
    return f"{size / GIB:,.1f} GiB" if size >= 0.95 * GIB else f"{size / 2**20:,.0f} MiB"
