"""Letterwise: a transformer that learns a text letter by letter, and then writes, scores and explains it.

    import letterwise

    model = letterwise.train(input_file="poems.txt", minutes=3)
    print(model.generate("The moon ", num_tokens=200))
    model = letterwise.load("out/poems-fast/model.safetensors")

Importing this package is instant; PyTorch is loaded on the first use of a model.
"""

from typing import TYPE_CHECKING, Any

from letterwise.errors import UserError

if TYPE_CHECKING:
    from letterwise.api import LanguageModel, classify, load, train

__version__ = "0.1.0"
__all__ = ["LanguageModel", "UserError", "__version__", "classify", "load", "train"]


def __getattr__(name: str) -> Any:
    if name in ("LanguageModel", "classify", "load", "train"):
        from letterwise import api

        return getattr(api, name)
    raise AttributeError(f"module 'letterwise' has no attribute {name!r}")
