"""Letterwise: a transformer that learns a text letter by letter, and then writes, scores and explains it.

    import letterwise

    model = letterwise.train(input_file="poems.txt", minutes=3)
    print(model.generate("The moon ", num_tokens=200))
    model = letterwise.load("out/poems-fast/model.safetensors")

Importing this package is instant; PyTorch is loaded on the first use of a model.
"""

import importlib
from typing import TYPE_CHECKING, Any

from letterwise.errors import UserError

if TYPE_CHECKING:
    from letterwise.api import LanguageModel, classify, import_model, load, train
    from letterwise.config import Config
    from letterwise.data.vocabulary import Vocabulary
    from letterwise.evaluation.evaluate import Score
    from letterwise.evaluation.score import Line
    from letterwise.inference.generate import Samples
    from letterwise.progress import Progress

__version__ = "0.1.0"
__all__ = [
    "Config", "LanguageModel", "Line", "Progress", "Samples", "Score", "UserError", "Vocabulary", "__version__", "classify",
    "import_model", "load", "train",
]  # fmt: skip

PLACES = {  # where each is; loaded when it is first asked for
    **dict.fromkeys(("LanguageModel", "classify", "import_model", "load", "train"), "api"),
    "Config": "config",
    "Line": "evaluation.score",
    "Progress": "progress",
    "Samples": "inference.generate",
    "Score": "evaluation.evaluate",
    "Vocabulary": "data.vocabulary",
}


def __getattr__(name: str) -> Any:
    if name in PLACES:
        return getattr(importlib.import_module(f"letterwise.{PLACES[name]}"), name)
    raise AttributeError(f"module 'letterwise' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
