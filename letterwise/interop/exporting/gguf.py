"""GGUF: one file that llama.cpp, and what is built on it, loads: weights, shape and the exact character tokenizer.

ModelFile ──architecture: gpt2 or llama──▶ shape · tokens ──weight_names──▶ tensors (float32, float16 or int8) ──▶ model.gguf

The tokenizer is the one that llama.cpp has for RWKV models: byte strings in a trie, of which the longest match wins. No other
of its tokenizers takes any set of characters as it is.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal, assert_never

import numpy as np

from letterwise.checkpoint.model_file import ModelFile
from letterwise.config import ModelConfig
from letterwise.data.vocabulary import Vocabulary
from letterwise.interop.architecture import nearest, spelled
from letterwise.interop.exporting.plain import fitting_heads, require_plain
from letterwise.interop.exporting.record import listed, sources
from letterwise.interop.exporting.tokenizer import require_whole_characters
from letterwise.interop.weight_names import GGUF_GPT2, GGUF_LLAMA, to_theirs
from letterwise.model.normalization import EPSILON
from letterwise.progress import Note

if TYPE_CHECKING:
    from gguf import GGUFWriter

NORMAL = 1  # kind of a token: a piece of text
QUANTIZED = 32  # numbers of a row that share a scale


def write(file: ModelFile, folder: Path, *, weights: Literal["float32", "float16", "int8"] = "float32", note: Note) -> None:
    """Write the file. Raises `UserError` where llama.cpp has no such model, or no such character."""
    from gguf import GGUFWriter

    require_plain(file.config.model, "llama.cpp", lacking(file.config.model))
    arrays, config = fitting_heads(file)
    target = nearest(config)
    writer = GGUFWriter(folder / "model.gguf", target)
    add_shape(writer, file)
    add_tokens(writer, file.vocabulary, end=file.line_break)
    for name, tensor in to_theirs(arrays, config, GGUF_LLAMA if target == "llama" else GGUF_GPT2).items():
        add_tensor(writer, name, tensor, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    if config.activation == "gelu_erf":
        note("llama.cpp computes GELU by its tanh form: logits differ by about 0.001.")


def lacking(config: ModelConfig) -> list[str]:
    """What transformers has and llama.cpp has not."""
    found = ["norms after each component"] if nearest(config) == "opt" else []
    match config.activation:
        case "relu" | "relu_squared":
            return found if nearest(config) == "llama" else [*found, spelled(config)]
        case "gelu" | "gelu_erf" | "swiglu":
            return found
        case _:
            assert_never(config.activation)


def add_shape(writer: "GGUFWriter", file: ModelFile) -> None:
    """What llama.cpp has to know of the architecture."""
    model = file.config.model
    writer.add_name(listed(sources(file), 3))
    writer.add_context_length(model.block_size)
    writer.add_embedding_length(model.n_embd)
    writer.add_block_count(model.n_layer)
    writer.add_feed_forward_length(model.hidden)
    writer.add_head_count(model.n_head)
    writer.add_vocab_size(len(file.vocabulary))
    match nearest(model):
        case "llama":
            writer.add_head_count_kv(model.kv_heads)
            writer.add_layer_norm_rms_eps(EPSILON)
            writer.add_rope_dimension_count(model.head_dim)
            writer.add_rope_freq_base(model.rotary_base)
        case "gpt2" | "opt":
            writer.add_layer_norm_eps(EPSILON)


def add_tokens(writer: "GGUFWriter", vocabulary: Vocabulary, end: int | None) -> None:
    """Each character as its bytes in UTF-8; `end` is the one that ends a text, for a model of lines.

    llama.cpp takes the unknown token for each byte of a character that it does not know, without looking whether there is one:
    it is the space.
    """
    if vocabulary.kind == "char":
        require_whole_characters(vocabulary)
    pieces = (
        [bytes([byte]) for byte in range(256)] if vocabulary.kind == "byte" else [c.encode() for c in vocabulary.characters]
    )
    writer.add_tokenizer_model("rwkv")
    writer.add_token_list(["".join(f"\\x{byte:02x}" for byte in piece) for piece in pieces])
    writer.add_token_types([NORMAL] * len(pieces))
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_unk_token_id(pieces.index(b" ") if b" " in pieces else 0)
    if end is not None:
        writer.add_eos_token_id(end)
        writer.add_bos_token_id(end)


def add_tensor(writer: "GGUFWriter", name: str, tensor: np.ndarray, weights: str) -> None:
    """A matrix as `weights` says, where its rows divide into blocks; vectors and positions as they are."""
    from gguf import GGMLQuantizationType
    from gguf.quants import quantize

    if tensor.ndim == 1 or "position" in name or weights == "float32":
        writer.add_tensor(name, tensor)
    elif weights == "int8" and tensor.shape[-1] % QUANTIZED == 0:
        writer.add_tensor(name, quantize(tensor, GGMLQuantizationType.Q8_0), raw_dtype=GGMLQuantizationType.Q8_0)
    else:
        writer.add_tensor(name, tensor.astype(np.float16))
