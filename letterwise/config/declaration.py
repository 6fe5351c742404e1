"""Declaration: every option of training, with its default, its help and its range, checked.

    preset ◀─ size ◀─ config.toml ◀─ flags  ──resolve──▶  Config(data, model, training, runtime)

Each knob is declared once, here; the command line's flags, its help, the TOML keys and the docs all come from these
declarations. This file must not import torch: `--help` is instant.
"""

import math
import re
from dataclasses import asdict, dataclass, field, fields, replace
from os import PathLike
from typing import Any, Literal, assert_never

from letterwise.config.file_names import is_stream
from letterwise.config.knob import check, knob
from letterwise.errors import UserError, did_you_mean, quoted

INTERVAL = re.compile(r"0*([1-9]\d{0,8})(s|min)?", re.ASCII)
FILES = ("input_file", "val_file", "init_from", "teacher")  # knobs that name files
LATER = {  # knobs younger than model format 3: written where they are on
    "lines", "encoding", "test_fraction", "counts_contexts", "logit_shrinkage", "init_from", "freeze", "replay", "teacher",
    "written_chars", "members", "distill", "tuning_fraction", "activation_checkpointing", "parallel", "tracker",
}  # fmt: skip
LARGEST_SEED = 2**63 - 1
MAX_COUNT = 10**12  # steps or characters: more than any machine gets through
A_DECADE = 10 * 366 * 24 * 60.0  # in minutes
CONTEXT_KINDS, CONTEXT_REACH = 8, 128  # kinds of contexts that are counted beside n-grams, and characters that they see
MIXED_UP_TO = 512  # characters: with more, a distribution per order and position is too large to carry
OPTIMIZER_COPIES = {"adamw": 2, "muon": 2, "sgd": 1, "adafactor": 0}  # what each keeps per weight, at most


@dataclass(frozen=True)
class DataConfig:
    """What to learn from."""

    input_file: tuple[str, ...] = knob((), "text to learn: files, folders, globs, - for stdin; .gz .bz2 .xz .zst .zip .tar")
    dataset: str | None = knob(None, "text by name: python-docs (the default), unicode-names, shakespeare, text8, enwik8")
    val_file: tuple[str, ...] = knob((), "text to validate on, instead of the end of the input")
    val_fraction: float = knob(0.1, "part of the text, at its end, kept for validation", min=0, below=1)
    test_fraction: float = knob(0.0, "part of the text, after the validation part, that training never sees", min=0, below=1)
    vocab: Literal["char", "byte"] = knob("char", "char: the text's unique characters; byte: any file at all")
    encoding: str | None = knob(None, "text encoding of the input (default: utf-8, or detected from the first bytes)")
    lines: bool = knob(False, "each line is one example with no context before it; validation gets other lines")

    def __post_init__(self) -> None:
        check(self)
        if self.dataset and self.input_file:
            names = f"--dataset {quoted(self.dataset)} and --input_file {quoted(self.input_file[0])}"
            raise UserError(f"{names} both name a text: give one.")
        if self.val_fraction + self.test_fraction >= 1:
            raise UserError(
                f"val_fraction={self.val_fraction:g} and test_fraction={self.test_fraction:g} leave nothing to train on: "
                "lower one of them."
            )
        if self.test_fraction and self.val_file:
            raise UserError(
                f"test_fraction={self.test_fraction:g} is cut from the end of the text, and --val_file takes its place: leave "
                "one out, and name a test file with `letterwise evaluate --input_file`."
            )

    @property
    def read_once(self) -> bool:
        """Whether some of the text comes from stdin, a pipe or a device."""
        return any(map(is_stream, self.input_file + self.val_file))


@dataclass(frozen=True)
class ModelConfig:
    """The shape of the transformer and the bricks it is built from. The vocabulary's size is found in the data."""

    n_layer: int = knob(4, "transformer blocks, one after another", min=0, max=2**12)
    n_head: int = knob(4, "attention heads in a block", min=1, max=2**12)
    n_kv_head: int | None = knob(None, "key/value heads, shared by groups of heads (default: n_head)", min=1, max=2**12)
    n_embd: int = knob(128, "width of the residual stream", min=1, max=2**17)
    ffn_hidden: int | None = knob(
        None, "width inside the feed-forward (default: 4 n_embd; swiglu: 8/3 n_embd)", min=1, max=2**20
    )
    block_size: int = knob(128, "context length in characters", min=1, max=2**20)
    dropout: float = knob(0.1, "share of activations dropped in training", min=0, below=1)
    shared_dropout: bool = knob(
        True, "drop the same activations at every position of a sequence: as good, and much faster on a CPU"
    )
    positions: Literal["learned", "rotary"] = knob("rotary", "how positions are encoded")
    rotary_base: float = knob(
        10_000.0, "base of the rotary frequencies: the slowest rotation takes about this many characters", min=1, below=1e12
    )
    norm: Literal["layer", "rms"] = knob("layer", "kind of normalization")
    norm_order: Literal["post", "pre"] = knob("pre", "normalize after each residual addition, or before each component")
    activation: Literal["relu", "gelu", "gelu_erf", "relu_squared", "swiglu"] = knob(
        "relu_squared", "nonlinearity in the feed-forward (gelu is GPT-2's tanh form, gelu_erf nanoGPT's exact one)"
    )
    bias: bool = knob(False, "biases in linear layers and layer norms")
    tied: bool = knob(False, "the output layer reuses the token embedding")
    qk_norm: bool = knob(True, "normalize queries and keys")
    embed_norm: bool = knob(True, "normalize the embedding before the first block")
    zero_output: bool = knob(True, "start every block, and the head, at zero output")
    counts_order: int = knob(
        7, "longest n-grams, in characters, whose counts the model builds on (0: no counts)", min=0, max=2**6
    )
    counts_contexts: bool = knob(
        True, "beside n-grams, count what follows words, characters some way back, places in lines and long repeats"
    )
    softcap: float = knob(15.0, "limit logits smoothly to ±softcap (0: off)", min=0, below=1e6)

    def __post_init__(self) -> None:
        check(self)
        if self.n_embd % self.n_head:
            step = self.n_head * (2 if self.positions == "rotary" else 1)
            nearest = max(1, round(self.n_embd / step)) * step
            raise UserError(f"n_embd={self.n_embd} is not divisible by n_head={self.n_head}: try --n_embd {nearest}.")
        if self.n_layer == 0 and self.positions == "learned":
            raise UserError("n_layer=0 has no use for positions='learned': add a layer, or take --positions rotary.")
        if self.n_head % self.kv_heads:
            raise UserError(
                f"n_head={self.n_head} is not divisible by n_kv_head={self.kv_heads}: "
                f"give --n_kv_head a divisor of {self.n_head}."
            )
        if self.n_layer and self.positions == "rotary" and self.head_dim % 2:
            raise UserError(
                f"rotary positions turn pairs of numbers, but n_embd/n_head = {self.head_dim} is odd: "
                f"try --n_embd {self.n_embd + self.n_head}."
            )

    @property
    def head_dim(self) -> int:
        """D, the width of one head."""
        return self.n_embd // self.n_head

    @property
    def kv_heads(self) -> int:
        """How many key/value heads there are."""
        return self.n_kv_head or self.n_head

    @property
    def hidden(self) -> int:
        """Width inside the feed-forward: 4C, or for the gated form 8C/3 rounded up to 8, which costs the same."""
        gated = math.ceil(8 * self.n_embd / 3 / 8) * 8
        return self.ffn_hidden or (gated if self.gated else 4 * self.n_embd)

    @property
    def gated(self) -> bool:
        """Does one half of what the feed-forward's first layer gives gate the other?"""
        match self.activation:
            case "relu" | "gelu" | "gelu_erf" | "relu_squared":
                return False
            case "swiglu":
                return True
            case _:
                assert_never(self.activation)

    @property
    def activations_kept(self) -> int:
        """Numbers per character that the feed-forward keeps for the backward pass."""
        match self.activation:
            case "relu":
                return self.hidden
            case "gelu" | "gelu_erf" | "relu_squared":
                return 2 * self.hidden
            case "swiglu":
                return 4 * self.hidden
            case _:
                assert_never(self.activation)

    @property
    def position_table(self) -> bool:
        """Are there trained vectors of positions?"""
        match self.positions:
            case "learned":
                return True
            case "rotary":
                return False
            case _:
                assert_never(self.positions)

    @property
    def norm_bias(self) -> bool:
        """Have normalizations a bias?"""
        match self.norm:
            case "layer":
                return self.bias
            case "rms":
                return False
            case _:
                assert_never(self.norm)

    @property
    def up_width(self) -> int:
        """How many numbers the feed-forward's first layer gives: what its second takes, or twice that with a gate."""
        return 2 * self.hidden if self.gated else self.hidden

    def mixed_counts(self, vocab_size: int) -> int:
        """How many distributions of counts the prior keeps apart: all kinds of contexts, and each order of n-grams; where the
        characters are too many, only that of the longest n-grams.
        """
        if vocab_size > MIXED_UP_TO:
            return min(1, self.counts_order)
        return self.counts_order + CONTEXT_KINDS * self.has_contexts(vocab_size)

    @property
    def counts_reach(self) -> int:
        """How many characters before the next one counts look at, at most."""
        if not self.counts_order:
            return 0
        return max(CONTEXT_REACH, self.counts_order - 1) if self.counts_contexts else self.counts_order - 1

    def has_contexts(self, vocab_size: int) -> bool:
        """Are contexts counted?"""
        return self.counts_contexts and self.counts_order > 0 and vocab_size <= MIXED_UP_TO


@dataclass(frozen=True)
class TrainingConfig:
    """How to learn, and for how long."""

    max_iters: int = knob(2000, "optimizer steps", min=0, max=MAX_COUNT)
    minutes: float = knob(
        0.0,
        "train for this long instead of max_iters; the learning rate reaches its end on time (0: off)",
        min=0,
        below=A_DECADE,
    )
    batch_size: int = knob(16, "sequences in a batch (with --lines, as many characters in more of them)", min=1, max=2**20)
    gradient_accumulation_steps: int = knob(1, "batches summed into one optimizer step", min=1, max=2**20)
    optimizer: Literal["muon", "adamw", "sgd", "adafactor"] = knob(
        "muon", "muon updates the matrices, and adamw the other weights"
    )
    learning_rate: float = knob(0.01, "peak learning rate", min=0, below=1e6)
    matrix_learning_rate: float = knob(0.02, "peak learning rate of the matrices that muon updates", min=0, below=1e6)
    schedule: Literal["cosine", "linear", "trapezoid", "constant"] = knob("linear", "how the learning rate falls")
    warmup_iters: int = knob(20, "steps to reach the peak", min=0, max=MAX_COUNT)
    min_lr: float = knob(0.0, "where learning_rate ends (the matrices' rate falls by the same factor)", min=0, below=1e6)
    beta1: float = knob(0.9, "decay of the mean gradient (adamw), momentum (sgd)", min=0, below=1)
    beta2: float = knob(0.99, "decay of the mean squared gradient", min=0, below=1)
    weight_decay: float = knob(0.1, "weight decay of matrices; vectors have none", min=0, below=1e6)
    logit_shrinkage: float = knob(
        0.07, "give logits smaller by this share than the training text asks for, as new text is less certain", min=0, below=1
    )
    lookahead: float = knob(
        0.3, "weight in the loss of also predicting the character after the next; falls to 0 (0: off)", min=0, below=1e6
    )
    grad_clip: float = knob(1.0, "clip the norm of the gradient to this (0: off; muon's matrices need none)", min=0, below=1e12)
    eval_interval: int = knob(250, "steps between validations", min=1, max=MAX_COUNT)
    eval_chars: int = knob(
        0, "validate on so many characters, spread evenly (0: up to 2 million, or what --minutes allow)", min=0, max=MAX_COUNT
    )
    save_interval: str = knob("60s", "save a state for --resume this often: 60s, 5min, or 500 (steps)")
    patience: int = knob(0, "stop after this many validations without a new best (0: never)", min=0, max=MAX_COUNT)
    counts_folds: int = knob(100, "parts of the text; each is predicted with counts from all the others", min=2, max=2**10)
    counts_chars: int = knob(
        2**26,
        "count at most so many characters, the last ones; of over 16.8 million, without rare n-grams",
        min=1,
        max=MAX_COUNT,
    )
    rng_seed: int = knob(1337, "seed of everything random", min=0, max=LARGEST_SEED)
    init_from: str | None = knob(
        None,
        "fine-tune: start from this model's weights, vocabulary and counts, and keep its architecture",
        metavar="FILE",
        takes=str | PathLike[str] | None,
    )
    freeze: tuple[str, ...] = knob(
        (), "with --init_from, weights that do not learn: tokens, head, blocks.0-2, blocks.*.attention", metavar="NAME"
    )
    replay: float = knob(
        0.0, "with --init_from, this share of each batch is the base model's own text, so it is not forgotten", min=0, below=1
    )
    teacher: str | None = knob(
        None,
        "distillation: learn what this model predicts, beside the characters that really follow",
        metavar="FILE",
        takes=str | PathLike[str] | None,
    )
    written_chars: int = knob(
        0, "with --teacher, learn from so many characters that it writes, and not from the text", min=0, max=MAX_COUNT
    )
    members: int = knob(
        0, "an ensemble of so many models, in OUT/member-N, in --minutes together (default: 0, or by --minutes)", min=0, max=64
    )
    distill: bool = knob(False, "train an ensemble, then one model on what all of it predicts: that writes as fast as any")
    tuning_fraction: float | None = knob(
        None,
        "with --members, their weights are fitted on this first share of the training text, which none learns (default: ~0.02)",
        above=0,
        below=0.5,
    )

    def __post_init__(self) -> None:
        check(self)
        if self.minutes == 0 and self.warmup_iters >= self.max_iters > 0:
            raise UserError(
                f"warmup_iters={self.warmup_iters} leaves nothing to train: max_iters={self.max_iters}. "
                "Lower --warmup_iters or raise --max_iters."
            )
        if self.min_lr > self.learning_rate:
            raise UserError(f"min_lr={self.min_lr} is above learning_rate={self.learning_rate}: lower --min_lr.")
        if self.members == 1:
            raise UserError("members=1 is a single model: ask for 2 or more, or leave out --members.")
        for name, needed, use in (
            ("freeze", self.init_from, "fine-tuning: name the model to start from with --init_from"),
            ("replay", self.init_from, "fine-tuning: name the model to start from with --init_from"),
            ("tuning_fraction", self.members or self.distill, "an ensemble: say of how many models with --members"),
            ("written_chars", self.teacher or self.distill, "distillation: name a --teacher, or give --distill"),
        ):
            if getattr(self, name) and not needed:
                raise UserError(f"--{name} is for {use}.")
        if not INTERVAL.fullmatch(self.save_interval):
            raise UserError(f"save_interval={self.save_interval!r} is no interval: write it as 60s, 5min, or 500 (steps).")

    @property
    def teacher_writes(self) -> bool:
        """Whether the run learns from what its teacher writes, and not from its text."""
        return bool(self.teacher and self.written_chars)

    @property
    def sequences(self) -> int:
        """How many sequences one optimizer step learns from."""
        return self.batch_size * self.gradient_accumulation_steps

    @property
    def save_every(self) -> tuple[int, str]:
        """`save_interval` as number and unit: "s", "min", or "" for steps."""
        number = self.save_interval.rstrip("smin")
        return int(number), self.save_interval[len(number) :]


@dataclass(frozen=True)
class RuntimeConfig:
    """Where it runs."""

    device: str = knob("auto", "auto, cpu, cuda, cuda:1, mps")
    dtype: Literal["auto", "float32", "bfloat16"] = knob(
        "auto", "number format of training; auto: bfloat16 where the hardware has it"
    )
    compile: bool = knob(False, "use torch.compile for the blocks (worth it on long runs)")
    activation_checkpointing: bool = knob(
        False, "keep only each block's input, and compute the block again for its gradient: less memory, more time"
    )
    threads: int = knob(0, "CPU threads, of each process (0: PyTorch's choice)", min=0, max=2**10)

    parallel: Literal["ddp", "fsdp"] | None = knob(
        None, "several processes: ddp (the default), each has the whole model; fsdp, each has a share of its weights"
    )
    tracker: tuple[str, ...] = knob(
        (), "also send what metrics.jsonl gets to these: tensorboard, wandb, mlflow (docs/guide.md)", metavar="NAME"
    )

    def __post_init__(self) -> None:
        check(self)


PARTS: dict[str, type[DataConfig | ModelConfig | TrainingConfig | RuntimeConfig]] = {
    "data": DataConfig,
    "model": ModelConfig,
    "training": TrainingConfig,
    "runtime": RuntimeConfig,
}


@dataclass(frozen=True)
class Config:
    """One experiment, complete."""

    preset: str = "fast"
    size: str = "nano"
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)

    def with_values(self, values: dict[str, Any]) -> "Config":
        """This configuration with some knobs turned: `config.with_values({"n_layer": 6, "max_iters": 500})`."""
        known = {f.name: part for part, kind in PARTS.items() for f in fields(kind)}
        for name in values:
            if name not in known:
                raise UserError(f"{name!r} is not a known option: {did_you_mean(name, known)}")
        parts = {}
        for part in PARTS:
            mine = {name: value for name, value in values.items() if known[name] == part}
            parts[part] = replace(getattr(self, part), **mine) if mine else getattr(self, part)
        return replace(self, **parts)

    def to_json(self) -> dict[str, Any]:
        """Plain containers, for files. `config_from_json` reads them back."""
        knobs = {part: asdict(getattr(self, part)) for part in PARTS}
        parts = {part: {name: v for name, v in own.items() if v or name not in LATER} for part, own in knobs.items()}
        return {"preset": self.preset, "size": self.size, **parts}


def config_from_json(stored: dict[str, Any]) -> Config:
    """The inverse of `Config.to_json`. Raises `UserError` on a key or value that this version does not know."""
    for part in PARTS:
        if not isinstance(stored[part], dict):
            raise UserError(f"its configuration has {part} = {str(stored[part])[:40]!r}, which holds no knobs")
    values = {name: value for part in PARTS for name, value in stored[part].items()}
    values = {"counts_contexts": False, "logit_shrinkage": 0.0} | values  # a file of before there were any
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return Config(preset=stored["preset"], size=stored["size"]).with_values(values)
