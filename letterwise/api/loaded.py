"""Loaded: a model file in memory, and what is built from it at its first use.

ModelFile ──▶ TextModel (PyTorch, to score) · Backend (compiled on a CPU, to write) · Suffixes (of its training text)
"""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from letterwise.checkpoint import ModelFile
from letterwise.checkpoint.texts import own_text
from letterwise.config import Config
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.inference.backend import Backend
from letterwise.progress import Progress
from letterwise.runtime.accelerator import device_name
from letterwise.runtime.waiting import share_processors

if TYPE_CHECKING:
    from letterwise.checkpoint.text_model import TextModel
    from letterwise.data.suffix_array import Suffixes
    from letterwise.inference.cpu.scoring import WindowScorer
    from letterwise.model import Ensemble, Transformer


class LoadedModel:
    """What a model file holds, on a device."""

    def __init__(self, file: ModelFile, device: str = "auto") -> None:
        self.file = file
        share_processors()  # before PyTorch is loaded, if it will be
        self.device = device_name(device)

    @property
    def config(self) -> Config:
        """How the model was built and trained."""
        return self.file.config

    @property
    def vocabulary(self) -> Vocabulary:
        """The characters it knows."""
        return self.file.vocabulary

    @property
    def history(self) -> list[dict[str, Any]]:
        """A row per validation, oldest first."""
        return self.file.history

    @property
    def data(self) -> dict[str, Any]:
        """The text it was trained on."""
        return self.file.data

    @property
    def params(self) -> int:
        """How many numbers were trained."""
        return self.file.params

    @property
    def transformer(self) -> "Transformer | Ensemble":
        """The PyTorch module, on its device."""
        return self.text_model.transformer

    @cached_property
    def text_model(self) -> "TextModel":
        """The transformer, with all that it reads a text with."""
        from letterwise.checkpoint.text_model import text_model

        return text_model(self.file, self.device)

    @cached_property
    def backend(self) -> Backend:
        """The backend that generates: compiled for a CPU, the transformer itself elsewhere."""
        if self.device == "cpu":
            return self.compiled
        from letterwise.inference.torch_backend import torch_backend

        return torch_backend(self.transformer, self.file.counts, self.file.line_break)

    @cached_property
    def compiled(self) -> Backend:
        """The model as the CPU's kernel reads it: the same bits in any batch."""
        from letterwise.inference.cpu.backend import compiled_backend

        return compiled_backend(self.file.networks, len(self.vocabulary), self.file.counts, self.file.line_break)

    @cached_property
    def window_scorer(self) -> "WindowScorer | None":
        """The model as the CPU reads many characters at once: their cost is the transformer's, but for rounding."""
        if self.device != "cpu":
            return None
        from letterwise.inference.cpu.scoring import WindowScorer

        return WindowScorer(self.file.networks, len(self.vocabulary), self.file.counts)

    @cached_property
    def suffixes(self) -> "Suffixes":
        """What its training text holds, ready to be searched. Raises `UserError` when that text is gone."""
        from letterwise.data.suffix_array import suffixes_of

        missing = "one that is fine-tuned from it knows its own." if self.file.imported else "train it again."
        try:
            return suffixes_of(own_text(self.file, Progress().note, missing=missing))
        except UserError as error:
            raise UserError(f"the training text is needed, to know what is copied from it: {error}") from error
