"""Classify: which of several models finds a text likeliest."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from letterwise.api.model import LanguageModel
from letterwise.errors import UserError, quoted
from letterwise.progress import Progress

if TYPE_CHECKING:
    from letterwise.evaluation.classify import Verdict


def classify(models: Sequence[LanguageModel], texts: Iterable[str], *, progress: Progress | None = None) -> "Iterator[Verdict]":
    """For each text, which of the models finds it likeliest, and with what probability it is of that one's kind.

    The probabilities are calibrated on pieces of the models' own validation texts, as long as the first of `texts`.

    Raises `UserError` for fewer than two models.

    Example:
        >>> [verdict] = classify([model, model], ["The cat sat on the mat."])
        >>> verdict.probabilities
        [0.5, 0.5]
    """
    from letterwise.evaluation.classify import Classifier

    if isinstance(texts, str):
        raise UserError(f"texts={quoted(texts)} is one text: give a list of them.")
    models = [models] if isinstance(models, LanguageModel) else list(models)
    if len(models) < 2:
        raise UserError(f"{len(models)} model has nothing to be compared with: name several with --model_path.")
    progress, classifier = progress or Progress(), None
    for text in texts:
        if classifier is None:
            held_out = [model.held_out(progress) for model in models]
            classifier = Classifier([model.cost for model in models], held_out, len(text))
            if not classifier.calibrated:
                progress.note("the probabilities are not calibrated: not every model's own text is there, or long enough.")
        yield classifier.judge(text)
