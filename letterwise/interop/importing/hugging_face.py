"""Hugging Face: folders of GPT-2, Llama and OPT models with a tokenizer of characters.

config.json ──settings, each known or refused──▶ bricks ─┐
model.safetensors · pytorch_model.bin, or their parts ───┼──▶ Original
tokenizer.json ──characters─────────────────────────────┘
"""

from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from letterwise.checkpoint.torch_archive import Refused
from letterwise.config import ModelConfig
from letterwise.interop.importing.characters import named_tokens, not_known
from letterwise.interop.importing.files import Tensors, about, archive, digest, read_json, safe_tensors, total_size
from letterwise.interop.importing.original import Original, Tokens, Wanted, model_of, our_weights, with_our_epsilon
from letterwise.interop.importing.tokenizer import tokens_of
from letterwise.interop.weight_names import HF_GPT2, HF_LLAMA, HF_OPT, Format
from letterwise.model.normalization import EPSILON
from letterwise.progress import Note

ACTIVATIONS = {
    "relu": "relu", "gelu": "gelu_erf", "gelu_python": "gelu_erf", "gelu_new": "gelu", "gelu_fast": "gelu",
    "gelu_pytorch_tanh": "gelu", "relu2": "relu_squared",
}  # fmt: skip
WHOLE = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class Kind:
    """A kind of model: how its weights are named, its bricks, and what its norms add; `zeros` are biases that it lacks."""

    program: str
    form: Format
    model: ModelConfig
    epsilon: float = EPSILON
    zeros: Mapping[str, int] | None = None


class Settings:
    """A config.json, asked setting by setting."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def get(self, name: str, default: Any = None) -> Any:
        """A setting; the default where it is not there, or null."""
        value = self.values.get(name)
        return default if value is None else value

    def require(self, name: str, only: Any, default: Any = None) -> None:
        """Raises `Refused` where a setting has another value than the only one that Letterwise has."""
        if (value := self.get(name, only if default is None else default)) != only:
            raise Refused(f"has {name}={str(value)[:60]}, and Letterwise has only {only}")

    def activation(self, name: str, default: str) -> str:
        """Our name of an activation."""
        value = str(self.get(name, default))
        if value not in ACTIVATIONS:
            raise Refused(f"has {name}={value[:60]}, and Letterwise has only {', '.join(ACTIVATIONS)}")
        return ACTIVATIONS[value]

    def epsilon(self, name: str, default: float) -> float:
        """What norms add to the mean square."""
        value = self.get(name, default)
        if not isinstance(value, int | float) or not 1e-12 <= value <= 1:
            raise Refused(f"has {name}={str(value)[:60]}, and Letterwise has only 1e-12 to 1")
        return float(value)


def read_hugging_face(folder: Path, wanted: Wanted, note: Note) -> Original:
    """The model in a folder. Raises `UserError` when it is none that Letterwise has, or not character-level."""
    path = folder / "config.json"
    described = read_json(path)
    with about(path):
        kind = _kind(Settings(described))
    parts = _parts(folder)
    with about(parts[0]), _tensors(parts) as tensors:
        theirs = tensors.renamed(_full_names(tensors, kind.form))
        table = f"{kind.form.names['tokens']}.weight"
        rows, *_ = theirs.shape(table) or (0,)
        model = kind.model
        if f"{kind.form.names['head']}.weight" not in theirs:
            model = replace(model, tied=True)
        theirs = _with_zeros(theirs, kind)
        weights = our_weights(theirs, model, kind.form, rows, total_size(parts))
        weights = with_our_epsilon(weights, model, kind.epsilon)
    return Original(kind.program, model, weights, _tokens(folder, wanted, rows, note), digest(parts))


def _kind(settings: Settings) -> Kind:
    """Which model a config.json describes."""
    match settings.get("model_type"):
        case "gpt2":
            return _gpt2(settings)
        case "llama":
            return _llama(settings)
        case "opt":
            return _opt(settings)
        case other:
            raise Refused(f"has model_type={str(other)[:60]}, and Letterwise imports gpt2, llama and opt")


def _gpt2(settings: Settings) -> Kind:
    """A GPT-2. Raises `UserError` for settings that this model has not."""
    settings.require("scale_attn_weights", True)
    settings.require("scale_attn_by_inverse_layer_idx", False)
    settings.require("add_cross_attention", False)
    model = model_of(
        n_layer=settings.get("n_layer", 12),
        n_head=settings.get("n_head", 12),
        n_embd=settings.get("n_embd", 768),
        block_size=settings.get("n_positions", 1024),
        ffn_hidden=settings.get("n_inner"),
        positions="learned",
        norm="layer",
        norm_order="pre",
        activation=settings.activation("activation_function", "gelu_new"),
        bias=True,
        tied=bool(settings.get("tie_word_embeddings", True)),
    )
    return Kind("GPT-2", HF_GPT2, model, settings.epsilon("layer_norm_epsilon", 1e-5))


def _llama(settings: Settings) -> Kind:
    """A Llama. The same."""
    settings.require("hidden_act", "silu")
    settings.require("partial_rotary_factor", 1.0)
    rope = settings.get("rope_parameters", settings.get("rope_scaling", {}))
    rotations = Settings(rope if isinstance(rope, dict) else {"rope_type": rope})
    rotations.require("rope_type", "default", rotations.get("type", "default"))
    rotations.require("partial_rotary_factor", 1.0)
    attention_bias, mlp_bias = (bool(settings.get(name, False)) for name in ("attention_bias", "mlp_bias"))
    model = model_of(
        n_layer=settings.get("num_hidden_layers", 32),
        n_head=settings.get("num_attention_heads", 32),
        n_kv_head=settings.get("num_key_value_heads"),
        n_embd=settings.get("hidden_size", 4096),
        ffn_hidden=settings.get("intermediate_size", 11008),
        block_size=settings.get("max_position_embeddings", 2048),
        positions="rotary",
        rotary_base=rotations.get("rope_theta", settings.get("rope_theta", 10_000.0)),
        norm="rms",
        norm_order="pre",
        activation="swiglu",
        bias=attention_bias or mlp_bias,
        tied=bool(settings.get("tie_word_embeddings", False)),
    )
    settings.require("head_dim", model.head_dim)
    zeros: dict[str, int] = {}
    if model.bias and not attention_bias:
        rows = {
            "q": model.n_embd,
            "k": model.kv_heads * model.head_dim,
            "v": model.kv_heads * model.head_dim,
            "o": model.n_embd,
        }
        zeros |= {f"model.layers.{{n}}.self_attn.{each}_proj.bias": size for each, size in rows.items()}
    if model.bias and not mlp_bias:
        rows = {"gate": model.hidden, "up": model.hidden, "down": model.n_embd}
        zeros |= {f"model.layers.{{n}}.mlp.{each}_proj.bias": size for each, size in rows.items()}
    return Kind("Llama", HF_LLAMA, model, settings.epsilon("rms_norm_eps", 1e-6), zeros)


def _opt(settings: Settings) -> Kind:
    """An OPT. The same."""
    before = bool(settings.get("do_layer_norm_before", True))
    if before:
        settings.require("_remove_final_layer_norm", False)
    settings.require("layer_norm_elementwise_affine", True)
    settings.require("enable_bias", True)
    model = model_of(
        n_layer=settings.get("num_hidden_layers", 12),
        n_head=settings.get("num_attention_heads", 12),
        n_embd=settings.get("hidden_size", 768),
        ffn_hidden=settings.get("ffn_dim", 3072),
        block_size=settings.get("max_position_embeddings", 2048),
        positions="learned",
        norm="layer",
        norm_order="pre" if before else "post",
        activation=settings.activation("activation_function", "relu"),
        bias=True,
        tied=bool(settings.get("tie_word_embeddings", True)),
    )
    settings.require("word_embed_proj_dim", model.n_embd)
    return Kind("OPT", HF_OPT, model)


def _parts(folder: Path) -> list[Path]:
    """The files of the weights."""
    for name in WHOLE:
        if (folder / name).exists():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if index.exists():
            places = read_json(index).get("weight_map")
            with about(index):
                names = list(places.values()) if isinstance(places, dict) else []
                if not names or any(not isinstance(part, str) or Path(part).name != part for part in names):
                    raise Refused("names no files of this folder in its weight_map")
            return [folder / part for part in sorted(set(names))]
    with about(folder):
        raise Refused(f"has no weights: neither {' nor '.join(WHOLE)}, nor their index")


@contextmanager
def _tensors(parts: list[Path]) -> Generator[Tensors]:
    """All weights of all parts."""
    found: dict[str, Any] = {}
    with ExitStack() as stack:
        for part in parts:
            content = safe_tensors(part).tensors if part.suffix == ".safetensors" else stack.enter_context(archive(part))
            if not isinstance(content, dict):
                raise Refused("holds no weights by name")
            found |= {str(name): tensor for name, tensor in content.items()}
        yield Tensors(found)


def _full_names(tensors: Tensors, form: Format) -> dict[str, str]:
    """New names where those of a model without its head lack their beginning."""
    table = f"{form.names['tokens']}.weight"
    short = next((name for name in tensors if table.endswith(f".{name}")), None)
    beginning = table.removesuffix(short) if short else ""
    return {name: beginning + name for name in tensors if short and not name.startswith("lm_head.")}


def _with_zeros(theirs: Tensors, kind: Kind) -> Tensors:
    """All weights, and zeros for the biases that its configuration says are not there."""
    import torch

    found = dict(theirs.tensors)
    for name, size in (kind.zeros or {}).items():
        found |= dict.fromkeys((name.format(n=n) for n in range(kind.model.n_layer)), torch.zeros(size))
    return Tensors(found)


def _tokens(folder: Path, wanted: Wanted, rows: int, note: Note) -> Tokens:
    """The characters of its tokens."""
    if wanted.vocabulary_from or wanted.meta:
        return named_tokens(wanted, rows, note)
    path = folder / "tokenizer.json"
    if not path.exists():
        raise not_known(rows)
    return tokens_of(path, rows)
