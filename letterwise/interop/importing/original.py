"""Original: another program's model, as it was found, and the model file that it becomes.

Tensors by their names ──our_weights──▶ Original: bricks, weights, the character of each token ──as_model_file──▶ ModelFile

Ids are ours from there on: rows of the embedding and the head are put in code-point order, those of no character are left out.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from letterwise.checkpoint import ModelFile
from letterwise.checkpoint.model_file import UNKNOWN_TEXT, check_weights
from letterwise.checkpoint.torch_archive import Refused
from letterwise.config import ModelConfig
from letterwise.config.accounting import parameters
from letterwise.config.presets import SIZES, resolve
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError, clause
from letterwise.interop.architecture import nearest
from letterwise.interop.importing.files import Tensors
from letterwise.interop.weight_names import Format, to_ours
from letterwise.model.normalization import EPSILON
from letterwise.progress import Note

PRESET = {"gpt2": "gpt2", "llama": "llama", "opt": "classic"}
PLAIN: dict[str, Any] = dict(
    qk_norm=False, embed_norm=False, zero_output=False, counts_order=0, softcap=0.0, dropout=0.0, shared_dropout=False
)  # bricks that none of these programs has
# What other programs keep beside weights: masks, tables of rotations.
BUFFERS = re.compile(r"(^|\.)(attn\.(bias|masked_bias|mask)|rotary_emb\.inv_freq)$")
SCALED = re.compile(r"tokens\.weight|positions\.table|.*\.(attention\.out|feedforward\.down)\.(weight|bias)")


@dataclass(frozen=True)
class Tokens:
    """The character of each of a model's tokens, None where it has none; of a byte vocabulary, that of the byte's number."""

    characters: Sequence[str | None]
    bytes: bool = False


@dataclass(frozen=True)
class Wanted:
    """What a person says of a model that its files do not say themselves."""

    meta: str | None = None
    vocabulary_from: Sequence[str] = ()
    n_head: int | None = None
    activation: str | None = None


@dataclass(frozen=True)
class Original:
    """A model of `program`. Weights have our names, and rows in the order of its own `tokens`."""

    program: str
    model: ModelConfig
    weights: dict[str, np.ndarray]
    tokens: Tokens
    sha256: str


def model_of(**knobs: Any) -> ModelConfig:
    """The model's configuration. Raises `Refused` where ours cannot have such a one."""
    try:
        return ModelConfig(**PLAIN | knobs)
    except UserError as error:
        raise Refused(f"describes a model that Letterwise cannot have: {clause(error).partition(': ')[0]}") from error


def our_weights(theirs: Tensors, model: ModelConfig, form: Format, vocab_size: int, size: int) -> dict[str, np.ndarray]:
    """All weights, from files of `size` bytes. Raises `Refused` when some are missing, or are more than the model has."""
    if parameters(model, vocab_size).total > size:
        raise Refused(f"is damaged: {size:,} bytes cannot hold the weights of the model that it describes")
    try:
        found = to_ours(theirs, model, form, vocab_size)
    except KeyError as error:
        raise Refused(f"has no weight {error}: it is damaged, or another kind of model") from error
    except ValueError as error:
        raise Refused(f"is damaged: its weights do not fit together ({error})") from error
    rest = [name for name in theirs if name not in theirs.used and not BUFFERS.search(name) and name != "lm_head.weight"]
    if rest:
        raise Refused(f"has weights that Letterwise has no place for, such as {rest[0][:80]!r}")
    return found


def with_our_epsilon(weights: dict[str, np.ndarray], model: ModelConfig, epsilon: float) -> dict[str, np.ndarray]:
    """Weights of a pre-norm model whose norms add `epsilon`, as those of the same model with `EPSILON`.

    A norm with ε of x is one with s²·ε of s·x. So all that is added up in the residual stream is multiplied by s.
    """
    scale = math.sqrt(EPSILON / epsilon)
    if scale == 1:
        return weights
    found = {
        name: (weight * scale).astype(np.float32) if SCALED.fullmatch(name) else weight for name, weight in weights.items()
    }
    if model.tied:  # the head has been scaled, too
        found |= {name: (found[name] / scale).astype(np.float32) for name in ("norm.weight", "norm.bias") if name in found}
    return found


def as_model_file(original: Original, note: Note) -> ModelFile:
    """A model file over its characters. Raises `Refused` when weights have other shapes, or NaN."""
    found = [(character, id) for id, character in enumerate(original.tokens.characters) if character is not None]
    if left_out := len(original.tokens.characters) - len(found):
        note(
            f"{left_out:,} of its {len(original.tokens.characters):,} tokens are no character of a text, and are left out: the "
            "others share their probability."
        )
    rows = np.array([id for _, id in sorted(found)])
    vocabulary = Vocabulary("byte") if original.tokens.bytes else Vocabulary("char", "".join(c for c, _ in sorted(found)))
    kept = {name: original.weights[name][rows] for name in ("tokens.weight", "head.weight") if name in original.weights}
    weights = original.weights | kept
    config = resolve(
        {
            "preset": PRESET[nearest(original.model)],
            "size": size_of(original.model),
            "vocab": vocabulary.kind,
            **asdict(original.model),
        }
    )
    try:
        check_weights(weights, config.model, len(vocabulary))
    except UserError as error:
        raise Refused(f"is damaged: {clause(error)}") from error
    record = {**UNKNOWN_TEXT, "imported": {"from": original.program, "sha256": original.sha256}}
    return ModelFile(config, vocabulary, weights, record, [])


def size_of(model: ModelConfig) -> str:
    """The largest of our sizes that is no wider."""
    return max(SIZES, key=lambda size: (SIZES[size]["n_embd"] <= model.n_embd) * SIZES[size]["n_embd"])
