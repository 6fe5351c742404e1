"""Model: a trained model, to generate and score with.

path ──load──▶ LanguageModel ──▶ generated text · scores of texts · compressed texts · logits and attention
"""

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING

from letterwise.api.compress import Compressor
from letterwise.api.export import Exporter
from letterwise.api.score import Reader
from letterwise.api.write import Writer
from letterwise.checkpoint import load_model, save_model
from letterwise.checkpoint.ensemble import require_single
from letterwise.checkpoint.texts import validation_text
from letterwise.config.arguments import argument
from letterwise.config.file_names import local
from letterwise.config.parts import Part, parts
from letterwise.progress import Progress
from letterwise.units import bits

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from letterwise.evaluation.inside import EmbeddingMap


class LanguageModel(Writer, Reader, Compressor, Exporter):
    """A trained model, to generate and score with.

    Attributes:
        config: how it was built and trained.
        vocabulary: its characters and their ids; `model.vocabulary.encode("text")`.
        history: a row per validation, as in metrics.jsonl.
        data: the text it was trained on: fingerprint, sources, bounds of its parts; or where the model was imported from.
        params: how many numbers were trained.
        device: where it computes.
        transformer: the PyTorch module: a `Transformer`, or an `Ensemble` of them.
    """

    def __repr__(self) -> str:
        """What it is, how good, and where it runs, on one line."""
        model, vocabulary = self.config.model, self.vocabulary
        alphabet = "bytes" if vocabulary.kind == "byte" else f"{len(vocabulary)} characters"
        lines = " of lines" if self.config.data.lines else ""
        best = self.file.best_validation
        quality = f"best validation {bits(best['val_nats_per_char']):.4f} bits per character" if best else "no validation"
        quality = f"imported ({self.file.imported})" if self.file.imported else quality
        return (
            f"<LanguageModel{lines}: {self.config.preset} {self.config.size}, {self.params:,} parameters, "
            f"context {model.block_size}, {alphabet}, {quality}, on {self.device}>"
        )

    def __call__(self, ids: "np.ndarray | Tensor | Sequence[int] | Sequence[Sequence[int]]") -> "Tensor":
        """The logits of each next character, a PyTorch tensor: (T, V) for `ids` (T,), (B, T, V) for (B, T).

        They begin a text. A model with n-gram counts looks up their predictions.

        Raises `UserError` when there are more than a context, or none, or ids outside the vocabulary.

        Example:
            >>> ids = model.vocabulary.encode("The cat")
            >>> model(ids).shape, model.vocabulary.decode([model(ids)[-1].argmax()])
            (torch.Size([7, 17]), ' ')
        """
        from letterwise.evaluation.inside import logits

        return logits(self.text_model, ids)

    def logits(self, text: str) -> "Tensor":
        """The logits of what follows each character of a text, a PyTorch tensor (T, V). Errors as for calling the model.

        Example:
            >>> model.logits("The cat").softmax(-1).sum(-1).allclose(model.logits("The cat").new_ones(7))
            True
        """
        return self(self.vocabulary.encode(argument("text", text, str, "")))

    def attention(self, text: str) -> "Tensor":
        """How much of each character every character reads: (layers, heads, T, T), a PyTorch tensor whose rows sum to 1.

        Row i of a head is what character i reads of characters 0 to i. Errors as for calling the model.

        Example:
            >>> model.attention("The cat").shape
            torch.Size([2, 2, 7, 7])
        """
        from letterwise.evaluation.inside import attention

        return attention(self.text_model, self.vocabulary.encode(argument("text", text, str, "")))

    def lens(self, text: str) -> "Tensor":
        """What the model would predict if its layers ended earlier (the logit lens): logits (layers + 1, T, V), a tensor.

        Row 0 is after the embedding, row n after layer n; the last one is `logits`. Each is read by the last normalization and
        the head. In a model with n-gram counts, their prediction is added in every row as the head adds it: what all rows have
        in common may be what counting knows, and what differs is what layers make of it. Errors as for calling the model.

        Example:
            >>> guesses = model.lens("The cat")
            >>> guesses.shape, bool((guesses[-1] == model.logits("The cat")).all())
            (torch.Size([3, 7, 17]), True)
        """
        from letterwise.evaluation.inside import lens

        return lens(self.text_model, self.vocabulary.encode(argument("text", text, str, "")))

    def embedding_map(self) -> "EmbeddingMap":
        """Where its characters lie in the plane that shows most of their embedding: `points` (V, 2), `explained` shares.

        Raises `UserError` for an ensemble.

        Example:
            >>> found = model.embedding_map()
            >>> found.points.shape, 0 < sum(found.explained) <= 1
            ((17, 2), True)
        """
        from letterwise.evaluation.inside import embedding_map

        require_single(self.file, "a map of its characters")
        return embedding_map(self.file.weights["tokens.weight"])

    def parts(self) -> list[Part]:
        """Its parts: how many trained numbers each has, the file under letterwise/model that is it, and what it does.

        Example:
            >>> [part.name for part in model.parts()][:3], sum(part.params for part in model.parts()) == model.params
            (['embedding', 'positions', 'prior'], True)
        """
        size, members = len(self.vocabulary), enumerate(self.file.members)
        if not self.file.members:
            return parts(self.config.model, size)
        return [replace(part, name=f"{part.name} of member {n}") for n, each in members for part in parts(each.model, size)]

    def held_out(self, progress: Progress | None = None) -> str:
        """The validation part of the text that it was trained on; "" when that is gone."""
        return validation_text(self.file, (progress or Progress()).note)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model, as .safetensors or .pth by the extension."""
        save_model(local(path), self.file)


def load(path: str | PathLike[str], *, device: str = "auto") -> LanguageModel:
    """Read a model file. Runs no code from it. Raises `UserError` when it is missing, damaged, or no model."""
    return LanguageModel(load_model(local(path)), device)
