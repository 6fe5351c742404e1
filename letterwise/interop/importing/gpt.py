"""GPT: checkpoints of nanoGPT, build-nanogpt and minGPT.

ckpt.pt ──archive──▶ weights, and how many heads there are ──┐
meta.pkl · --meta · --vocabulary_from ──characters───────────┴──▶ Original

All are GPT-2 with another GELU: nanoGPT's is exact (erf), and so was minGPT's until 2022; the others' is the tanh form.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from letterwise.checkpoint.torch_archive import Refused
from letterwise.interop.importing.characters import from_meta, named_tokens, not_known, require_fit
from letterwise.interop.importing.files import Tensors, about, archive, digest, is_tensor, read_json, total_size
from letterwise.interop.importing.original import Original, Tokens, Wanted, model_of, our_weights
from letterwise.interop.weight_names import MINGPT_2020, NANOGPT, Format
from letterwise.progress import Note

PREFIXES = ("_orig_mod.", "module.")  # of torch.compile, of DistributedDataParallel
HEADS = {  # of minGPT's models by name; its config.json has no more than that
    "openai-gpt": 12, "gpt2": 12, "gpt2-medium": 16, "gpt2-large": 20, "gpt2-xl": 25, "gopher-44m": 16, "gpt-mini": 6,
    "gpt-micro": 4, "gpt-nano": 3,
}  # fmt: skip
UP = 3  # folders above a checkpoint in which data/DATASET/meta.pkl may be


class GPTConfig:
    """What build-nanogpt's checkpoints hold beside weights: an object of its own class, whose attributes are read."""


@dataclass(frozen=True)
class Found:
    """What was found in a checkpoint: whose it is, its weights, what it says of its shape, and the name of its text."""

    program: str
    tensors: Tensors
    said: dict[str, Any]
    dataset: str | None = None


def read_gpt(path: Path, wanted: Wanted, note: Note) -> Original:
    """The model in a checkpoint. Raises `UserError` when it is none, or its characters are not known."""
    with about(path), archive(path, {"__main__ GPTConfig": GPTConfig}) as content:
        found = _found(content, path)
        form, vocab_size, model = _described(found, wanted)
        weights = our_weights(found.tensors, model, form, vocab_size, total_size([path]))
    tokens = _tokens(path, found, wanted, vocab_size, note)
    return Original(found.program, model, weights, tokens, digest([path]))


def _found(content: Any, path: Path) -> Found:
    """What a checkpoint holds, by the shape of its container."""
    inner = content.get("model") if isinstance(content, dict) else None
    if isinstance(inner, dict):
        tensors, config = _tensors(inner), content.get("config")
        if isinstance(config, GPTConfig):
            return Found("build-nanogpt", tensors, _plain(vars(config)))
        dataset = config.get("dataset") if isinstance(config, dict) else None
        return Found("nanoGPT", tensors, _plain(content.get("model_args")), dataset if isinstance(dataset, str) else None)
    if isinstance(content, dict) and content and all(is_tensor(value) for value in content.values()):
        beside = path.with_name("config.json")
        said = read_json(beside).get("model") if beside.is_file() else None
        return Found("minGPT", _tensors(content), _plain(said))
    raise Refused("is no checkpoint of nanoGPT, minGPT or build-nanogpt: it holds no weights by name")


def _plain(said: Any) -> dict[str, Any]:
    """The numbers and words among what a checkpoint says of its shape."""
    return {str(key): value for key, value in said.items() if isinstance(value, int | str)} if isinstance(said, dict) else {}


def _tensors(held: dict[Any, Any]) -> Tensors:
    """Weights by their plain names; those of old minGPT as the newer ones are named."""
    named = {}
    for name, tensor in held.items():
        for prefix in PREFIXES:
            name = str(name).removeprefix(prefix)
        named[name] = tensor
    positions = named.pop("pos_emb", None)
    if is_tensor(positions) and positions.dim() == 3:
        named["pos_emb.weight"] = positions[0]
    return Tensors(named)


def _described(found: Found, wanted: Wanted) -> tuple[Format, int, Any]:
    """How its weights are named, how many tokens it has, and its bricks: from the weights, and what is said beside them."""
    tensors = found.tensors
    form = MINGPT_2020 if "tok_emb.weight" in tensors else NANOGPT
    tokens, head, block = str(form.names["tokens"]), str(form.names["head"]), str(form.names["blocks.{n}.feedforward.up"])
    vocab_size, width = _matrix(tensors, f"{tokens}.weight")
    pattern = re.compile(re.escape(block).replace(r"\{n\}", r"(\d+)") + r"\.weight")
    layers = {int(match[1]) for name in tensors if (match := pattern.fullmatch(name))}
    hidden, _ = _matrix(tensors, f"{block.format(n=0)}.weight")
    tied = f"{head}.weight" not in tensors or np.array_equal(tensors[f"{head}.weight"], tensors[f"{tokens}.weight"])
    block_size, bias = _matrix(tensors, f"{form.names['positions']}.weight")[0], f"{block.format(n=0)}.bias" in tensors
    shape = {"n_layer": len(layers), "n_embd": width, "block_size": block_size, "vocab_size": vocab_size}
    for name, value in shape.items():
        if found.said.get(name) not in (None, value):
            raise Refused(f"is damaged: it says {name}={found.said[name]!r}, and its weights have {value}")
    model = model_of(
        n_layer=len(layers),
        n_head=_heads(found, wanted),
        n_embd=width,
        block_size=block_size,
        ffn_hidden=None if hidden == 4 * width else hidden,
        positions="learned",
        norm="layer",
        norm_order="pre",
        activation=_activation(found, wanted, form, tied=tied, bias=bias),
        bias=bias,
        tied=tied,
    )
    return form, vocab_size, model


def _matrix(tensors: Tensors, name: str) -> tuple[int, int]:
    """Rows and columns of a weight."""
    shape = tensors.shape(name)
    if len(shape) != 2:
        raise Refused(f"is damaged: {name!r} has shape {shape}, and is no matrix")
    return shape[0], shape[1]


def _heads(found: Found, wanted: Wanted) -> Any:
    heads = found.said.get("n_head") or HEADS.get(str(found.said.get("model_type"))) or wanted.n_head
    if heads is None:
        raise Refused("does not say how many attention heads it has: give --n_head, or put its config.json beside it")
    if wanted.n_head not in (None, heads):
        raise Refused(f"has {heads} attention heads: leave out --n_head {wanted.n_head}")
    return heads


def _activation(found: Found, wanted: Wanted, form: Format, *, tied: bool, bias: bool) -> str:
    """Which GELU: weights look the same with either."""
    if wanted.activation:
        return wanted.activation
    if found.program == "nanoGPT" or form is MINGPT_2020 or not bias:
        return "gelu_erf"
    if found.program == "build-nanogpt" or not tied:
        return "gelu"
    raise Refused("is nanoGPT's or build-nanogpt's, which differ in their GELU: give --activation gelu_erf (nanoGPT) or gelu")


def _tokens(path: Path, found: Found, wanted: Wanted, vocab_size: int, note: Note) -> Tokens:
    """The characters of its tokens: from what was named, or a meta.pkl near it."""
    if wanted.vocabulary_from or wanted.meta:
        return named_tokens(wanted, vocab_size, note)
    for near in _places_of_meta(path, found.dataset):
        if near.is_file():
            note(f"characters: {near}")
            return require_fit(from_meta(near), vocab_size, near)
    raise not_known(vocab_size)


def _places_of_meta(path: Path, dataset: str | None) -> list[Path]:
    """Where the characters of a checkpoint may be: beside it, or in data/DATASET of a folder above it, or of this one."""
    beside = [path.with_name("meta.pkl")]
    if not dataset or Path(dataset).name != dataset:
        return beside
    roots = [*path.absolute().parents[: UP + 1], Path.cwd()]
    return beside + [root / "data" / dataset / "meta.pkl" for root in roots]
