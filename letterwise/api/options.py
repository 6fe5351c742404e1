"""Options: keywords of `LanguageModel.generate` and `letterwise.train`, for editors.

Made from letterwise/config/generation.py and declaration.py by `make docs`: change those.
"""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Literal, TypedDict


class SamplerOptions(TypedDict, total=False):
    """How to choose."""

    temperature: float
    """below 1 safer, above 1 wilder (default: 1.0)"""
    top_k: int
    """keep the K likeliest characters (0: all) (default: 0)"""
    top_p: float
    """keep the likeliest characters, up to total probability P (1: all) (default: 1.0)"""
    min_p: float
    """keep characters at least P times as likely as the likeliest (0: all) (default: 0.0)"""
    typical_p: float
    """keep characters of near-average surprise, up to total probability P (1: all) (default: 1.0)"""
    repetition_penalty: float
    """above 1: characters already written become less likely (1: off) (default: 1.0)"""
    frequency_penalty: float
    """subtract this much log-probability per earlier occurrence (default: 0.0)"""
    presence_penalty: float
    """subtract this much log-probability once a character has occurred (default: 0.0)"""
    penalty_window: int
    """penalties count the last N characters, the prompt's included (default: 64)"""
    logit_bias: Mapping[str, float] | None
    """make these characters likelier (xyz=1.5) or less likely (e=-2) by adding to logits; may be given several times"""
    greedy: bool
    """always the likeliest character (default: False)"""
    beam: int
    """beam search with N beams: the likeliest text it finds (0: off) (default: 0)"""


class GenerateOptions(SamplerOptions, total=False):
    """How to choose, when to stop, and what may be written."""

    rng_seed: int | None
    """the same seed gives the same text; sample k uses seed N+k"""
    unknown: Literal["error", "skip"]
    """characters outside the vocabulary (default: error)"""
    num_tokens: int
    """characters to write (default: 100; with --lines: at most 1000 in a line)"""
    stop: str | Sequence[str]
    """stop before this text is written; may be given several times"""
    until_line: bool
    """stop after the first line break (default: False)"""
    max_seconds: float
    """stop after this many seconds"""
    charset: str | None
    """these characters only"""
    exclude: str
    """none of these characters"""
    must_contain: str | Sequence[str]
    """this text; may be given several times"""
    regex: str | None
    """a text that matches as a whole"""
    json_schema: str | PathLike[str] | dict[str, Any] | None
    """JSON of this schema"""
    grammar: str | PathLike[str] | None
    """a sentence of this Lark grammar"""
    max_copy: int | None
    """never copy more than N consecutive characters of the training text"""


class TrainOptions(TypedDict, total=False):
    """Every option of training but `input_file`."""

    dataset: str | None
    """text by name: python-docs (the default), unicode-names, shakespeare, text8, enwik8"""
    val_file: str | PathLike[str] | Sequence[str]
    """text to validate on, instead of the end of the input"""
    val_fraction: float
    """part of the text, at its end, kept for validation (default: 0.1)"""
    test_fraction: float
    """part of the text, after the validation part, that training never sees (default: 0.0)"""
    vocab: Literal["char", "byte"]
    """char: the text's unique characters; byte: any file at all (default: char)"""
    encoding: str | None
    """text encoding of the input (default: utf-8, or detected from the first bytes)"""
    lines: bool
    """each line is one example with no context before it; validation gets other lines (default: False)"""
    n_layer: int
    """transformer blocks, one after another (default: 4)"""
    n_head: int
    """attention heads in a block (default: 4)"""
    n_kv_head: int | None
    """key/value heads, shared by groups of heads (default: n_head)"""
    n_embd: int
    """width of the residual stream (default: 128)"""
    ffn_hidden: int | None
    """width inside the feed-forward (default: 4 n_embd; swiglu: 8/3 n_embd)"""
    block_size: int
    """context length in characters (default: 128)"""
    dropout: float
    """share of activations dropped in training (default: 0.1)"""
    shared_dropout: bool
    """drop the same activations at every position of a sequence: as good, and much faster on a CPU (default: True)"""
    positions: Literal["learned", "rotary"]
    """how positions are encoded (default: rotary)"""
    rotary_base: float
    """base of the rotary frequencies: the slowest rotation takes about this many characters (default: 10000.0)"""
    norm: Literal["layer", "rms"]
    """kind of normalization (default: layer)"""
    norm_order: Literal["post", "pre"]
    """normalize after each residual addition, or before each component (default: pre)"""
    activation: Literal["relu", "gelu", "gelu_erf", "relu_squared", "swiglu"]
    """nonlinearity in the feed-forward (gelu is GPT-2's tanh form, gelu_erf nanoGPT's exact one) (default: relu_squared)"""
    bias: bool
    """biases in linear layers and layer norms (default: False)"""
    tied: bool
    """the output layer reuses the token embedding (default: False)"""
    qk_norm: bool
    """normalize queries and keys (default: True)"""
    embed_norm: bool
    """normalize the embedding before the first block (default: True)"""
    zero_output: bool
    """start every block, and the head, at zero output (default: True)"""
    counts_order: int
    """longest n-grams, in characters, whose counts the model builds on (0: no counts) (default: 7)"""
    counts_contexts: bool
    """beside n-grams, count what follows words, characters some way back, places in lines and long repeats (default: True)"""
    softcap: float
    """limit logits smoothly to ±softcap (0: off) (default: 15.0)"""
    max_iters: int
    """optimizer steps (default: 2000)"""
    minutes: float
    """train for this long instead of max_iters; the learning rate reaches its end on time (0: off) (default: 0.0)"""
    batch_size: int
    """sequences in a batch (with --lines, as many characters in more of them) (default: 16)"""
    gradient_accumulation_steps: int
    """batches summed into one optimizer step (default: 1)"""
    optimizer: Literal["muon", "adamw", "sgd", "adafactor"]
    """muon updates the matrices, and adamw the other weights (default: muon)"""
    learning_rate: float
    """peak learning rate (default: 0.01)"""
    matrix_learning_rate: float
    """peak learning rate of the matrices that muon updates (default: 0.02)"""
    schedule: Literal["cosine", "linear", "trapezoid", "constant"]
    """how the learning rate falls (default: linear)"""
    warmup_iters: int
    """steps to reach the peak (default: 20)"""
    min_lr: float
    """where learning_rate ends (the matrices' rate falls by the same factor) (default: 0.0)"""
    beta1: float
    """decay of the mean gradient (adamw), momentum (sgd) (default: 0.9)"""
    beta2: float
    """decay of the mean squared gradient (default: 0.99)"""
    weight_decay: float
    """weight decay of matrices; vectors have none (default: 0.1)"""
    logit_shrinkage: float
    """give logits smaller by this share than the training text asks for, as new text is less certain (default: 0.07)"""
    lookahead: float
    """weight in the loss of also predicting the character after the next; falls to 0 (0: off) (default: 0.3)"""
    grad_clip: float
    """clip the norm of the gradient to this (0: off; muon's matrices need none) (default: 1.0)"""
    eval_interval: int
    """steps between validations (default: 250)"""
    eval_chars: int
    """validate on so many characters, spread evenly (0: up to 2 million, or what --minutes allow) (default: 0)"""
    save_interval: str
    """save a state for --resume this often: 60s, 5min, or 500 (steps) (default: 60s)"""
    patience: int
    """stop after this many validations without a new best (0: never) (default: 0)"""
    counts_folds: int
    """parts of the text; each is predicted with counts from all the others (default: 100)"""
    counts_chars: int
    """count at most so many characters, the last ones; of over 16.8 million, without rare n-grams (default: 67108864)"""
    rng_seed: int
    """seed of everything random (default: 1337)"""
    init_from: str | PathLike[str] | None
    """fine-tune: start from this model's weights, vocabulary and counts, and keep its architecture"""
    freeze: str | PathLike[str] | Sequence[str]
    """with --init_from, weights that do not learn: tokens, head, blocks.0-2, blocks.*.attention"""
    replay: float
    """with --init_from, this share of each batch is the base model's own text, so it is not forgotten (default: 0.0)"""
    teacher: str | PathLike[str] | None
    """distillation: learn what this model predicts, beside the characters that really follow"""
    written_chars: int
    """with --teacher, learn from so many characters that it writes, and not from the text (default: 0)"""
    members: int
    """an ensemble of so many models, in OUT/member-N, in --minutes together (default: 0, or by --minutes)"""
    distill: bool
    """train an ensemble, then one model on what all of it predicts: that writes as fast as any (default: False)"""
    tuning_fraction: float | None
    """with --members, their weights are fitted on this first share of the training text, which none learns (default: ~0.02)"""
    device: str
    """auto, cpu, cuda, cuda:1, mps (default: auto)"""
    dtype: Literal["auto", "float32", "bfloat16"]
    """number format of training; auto: bfloat16 where the hardware has it (default: auto)"""
    compile: bool
    """use torch.compile for the blocks (worth it on long runs) (default: False)"""
    activation_checkpointing: bool
    """keep only each block's input, and compute the block again for its gradient: less memory, more time (default: False)"""
    threads: int
    """CPU threads, of each process (0: PyTorch's choice) (default: 0)"""
    parallel: Literal["ddp", "fsdp"] | None
    """several processes: ddp (the default), each has the whole model; fsdp, each has a share of its weights"""
    tracker: str | PathLike[str] | Sequence[str]
    """also send what metrics.jsonl gets to these: tensorboard, wandb, mlflow (docs/guide.md)"""
    preset: Literal["fast", "classic", "gpt2", "llama", "counts"]
    """architecture and training recipe"""
    size: Literal["nano", "small", "medium", "large"]
    """size of the model"""
