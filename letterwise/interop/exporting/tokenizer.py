"""Tokenizer: a vocabulary as Hugging Face's tokenizers read it, without any code of ours. Each character is one token.

Vocabulary ──▶ tokenizer.json · tokenizer_config.json

Characters: the text is cut before every character, and each is looked up (WordLevel). An unknown one is an error there, since
no token stands for it. Bytes: byte-pair encoding without any pair.
"""

from typing import Any

from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.interop.byte_names import byte_names

UNKNOWN = "<unk>"  # named, since WordLevel wants a name, and in no vocabulary: it is longer than a character


def tokenizer_json(vocabulary: Vocabulary) -> dict[str, Any]:
    """The content of tokenizer.json. Raises `UserError` for characters that it cannot hold."""
    common = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "post_processor": None,
    }
    if vocabulary.kind == "byte":
        level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
        model = {"type": "BPE", "vocab": {name: byte for byte, name in enumerate(byte_names())}, "merges": []}
        return {**common, "pre_tokenizer": level, "decoder": level, "model": model}
    require_whole_characters(vocabulary)
    cut = {"type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated", "invert": False}
    ids = {character: i for i, character in enumerate(vocabulary.characters)}
    model = {"type": "WordLevel", "vocab": ids, "unk_token": UNKNOWN}
    return {**common, "pre_tokenizer": cut, "decoder": {"type": "Fuse"}, "model": model}


def tokenizer_config(block_size: int) -> dict[str, Any]:
    """The content of tokenizer_config.json. Without `tokenizer_class`, transformers would take another for a GPT-2."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": block_size,
        "bos_token": None,
        "eos_token": None,
    }


def require_whole_characters(vocabulary: Vocabulary) -> None:
    """Raises `UserError` where a vocabulary holds half a character, as texts that were cut between two UTF-16 units do."""
    halves = [character for character in vocabulary.characters if "\ud800" <= character <= "\udfff"]
    if halves:
        raise UserError(
            f"the vocabulary holds {halves[0]!r}, half a character, which no tokenizer of another program reads: "
            "train on a text without it, or with --vocab byte."
        )
