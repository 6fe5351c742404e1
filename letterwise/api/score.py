"""Score: how a model scores texts.

text · files · validation part of its own ──▶ ids ──TextModel──▶ Score · Line, Line, … · a page · what is copied
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from letterwise.api.loaded import LoadedModel
from letterwise.checkpoint.texts import Reading, own_text, part_ids, whole_ids
from letterwise.config.arguments import Files, argument, file_names
from letterwise.data.vocabulary import Tally, Unknown
from letterwise.errors import UserError, quoted
from letterwise.progress import Progress
from letterwise.units import nats

if TYPE_CHECKING:
    import numpy as np

    from letterwise.evaluation.by_character import CharacterScores
    from letterwise.evaluation.evaluate import Score
    from letterwise.evaluation.rank import Ranked
    from letterwise.evaluation.score import Characters, Compiled, ScoredText
    from letterwise.memorization.novelty import Novelty

Protocol = Literal["blocks", "eighth", "sliding"]
ANNOUNCED_CHARS = 2**17  # characters: scoring so many takes seconds, and is announced


class Reader(LoadedModel):
    """A model that reads."""

    def evaluate(
        self,
        input_file: Files | None = None,
        *,
        split: Literal["train", "val", "test", "all"] | None = None,
        protocol: Literal["blocks", "eighth", "sliding", "online", "primed"] = "blocks",
        unknown: Literal["error", "skip"] = "error",
        encoding: str | None = None,
        progress: Progress | None = None,
    ) -> "Score":
        """Mean surprise over a text: the one it was trained on (its validation part), or a named one (all of it).

        Args:
            input_file: another text, like `train`'s.
            split: "train", "val", "test" or "all", cut as training cut it.
            protocol: "blocks", "sliding", or "online", which learns from each character after scoring it; "primed", the
                same, after the training part of the model's own text (for its validation part, or another text).
            unknown: "error" or "skip" for characters outside the vocabulary.
            encoding: how the bytes of `input_file` spell characters (None: UTF-8, or what its first bytes show).
            progress: is notified while a text is read.

        Returns:
            The score, with that of counting alone beside it wherever it is known.

        Raises:
            UserError: the text is missing, has changed, or has characters the model does not know.
        """
        from letterwise.evaluation.evaluate import beside_baselines, evaluate

        if unknown not in ("error", "skip"):
            raise UserError(f"unknown={unknown!r} must be 'error' or 'skip': to charge for unknown characters, use `score`.")
        ids, part, tally = part_ids(self.file, file_names(input_file), split, reading(unknown, encoding, progress))
        if protocol in ("online", "primed"):
            from letterwise.online import evaluate as evaluate_online

            score = evaluate_online(self.file, ids, self._before(input_file, part, progress) if protocol == "primed" else None)
        else:
            score = evaluate(self.text_model, ids, protocol=protocol)
        score = replace(beside_baselines(score, ids, self.vocabulary), tally=tally if unknown == "skip" else None)
        same = self.data.get("every") == 1 and input_file is None and part == "val"  # the text that training compared over
        counting = self.data.get("baselines", {}).get("counting alone") if same and self.file.counts is None else None
        return score if counting is None else replace(score, counting_nats_per_char=nats(counting))

    def score(
        self,
        text: str | None = None,
        *,
        input_file: Files | None = None,
        protocol: Protocol = "blocks",
        closely: bool = False,
        unknown: Unknown = "score",
        encoding: str | None = None,
        progress: Progress | None = None,
    ) -> "ScoredText":
        """What each character of a text costs, line by line: an iterator, whose `tally` tells what was skipped.

        Args:
            text: the text itself;
            input_file: or its files. Without both, the validation part of the text that the model was trained on.
            protocol: "blocks", "eighth" or "sliding"; the mean over all lines is what `evaluate` gives by the same protocol.
            closely: also give each character's rank and the five likeliest.
            unknown: characters outside the vocabulary: "score" charges 33.4 bits for each, "error", or "skip" charges nothing.
            encoding: how the bytes of `input_file` spell characters (None: UTF-8, or what its first bytes show).
            progress: is notified while a text is read and a long one is scored.

        Raises:
            UserError: as for `evaluate`.

        Example:
            >>> [line] = model.score("The cat sat on the log. ")
            >>> line.text, len(line.characters), 0 < line.bits_per_char < 2
            ('The cat sat on the log. ', 24, True)
        """
        how = reading(unknown, encoding, progress)
        scored, tally = self._scored(text, input_file, protocol, how, closely=closely)
        return self._lines(scored, unknown, tally)

    def score_characters(self, text: str, *, protocol: Protocol = "blocks") -> "CharacterScores":
        r"""What each character of a text costs, in the text's own order and number: to be shown upon it.

        `protocol` as for `score`; characters outside the vocabulary cost 33.4 bits. With the rank and the likeliest
        alternatives of each, the sum of each line, and what n-gram counts alone would have cost.

        Raises:
            UserError: as for `score`.

        Example:
            >>> found = model.score_characters("The dog sat on the log.\n")
            >>> len(found.bits), found.predicted, found.unknown, found.total_bits < found.counting_bits
            (24, 23, 1, True)
        """
        from letterwise.data.offsets import places
        from letterwise.evaluation.by_character import by_character, counting_bits
        from letterwise.evaluation.heatmap import speller

        text, how = argument("text", text, str, ""), reading("score", None, None)
        scored, _ = self._scored(text, None, protocol, how, closely=True)
        ids, plain = self.text_model.encode(text), self.text_model.reads_plain_ends("score")
        where = places(text, self.vocabulary, plain_ends=plain)
        found = by_character(text, where, scored, speller(self.vocabulary), len(self.vocabulary))
        if (counts := self.file.counts) is None:
            return found
        return replace(found, counting_bits=counting_bits(counts, ids, self.file.line_break))

    def heat_map(
        self,
        text: str | None = None,
        *,
        title: str = "Heat map",
        input_file: Files | None = None,
        protocol: Protocol = "blocks",
        unknown: Unknown = "score",
        encoding: str | None = None,
        progress: Progress | None = None,
    ) -> str:
        """A page of HTML that shows what each character costs. Same options as `score`.

        Raises `UserError` for texts of more than 500,000 characters, too.

        Example:
            >>> model.heat_map("The cat sat on the log. ").startswith("<!doctype html>")
            True
        """
        from letterwise.evaluation import heatmap

        scored, _ = self._scored(text, input_file, protocol, reading(unknown, encoding, progress), closely=True)
        return heatmap.page(title, scored, self.vocabulary)

    def rank(
        self,
        text: str | None = None,
        *,
        input_file: Files | None = None,
        calibrate: Files | None = None,
        top: int = 0,
        protocol: Protocol = "eighth",
        unknown: Unknown = "score",
        encoding: str | None = None,
        progress: Progress | None = None,
    ) -> "Iterator[Ranked]":
        """The lines of a text, the least ordinary first, each with a p-value: see evaluation/rank.py.

        Args:
            text, input_file, protocol, unknown, encoding, progress: as for `score`.
            calibrate: files of ordinary lines to compare with (None: the validation part of the model's own text).
            top: give only so many (0: all).

        Raises:
            UserError: as for `score`, or when there are fewer than 20 lines to compare with.

        Example:
            >>> [odd] = model_of_a_log.rank("start\\nstop\\npots\\nstart\\n", top=1)
            >>> odd.line.number, odd.line.text
            (3, 'pots\\n')
        """
        from letterwise.evaluation.rank import MAX_HELD_OUT_CHARS, Calibration, rank
        from letterwise.evaluation.score import Scorer, score

        top, how = argument("top", top, int, 0), reading(unknown, encoding, progress)
        if top < 0:
            raise UserError(f"--top {top} must be 0 (all) or more.")
        ordinary, _ = self._ids(None, calibrate, how)
        ordinary = ordinary[:MAX_HELD_OUT_CHARS] if calibrate is None else ordinary
        compiled = self.window_scorer.nats if self.window_scorer else None
        scorer = Scorer(self.text_model, protocol=protocol, skips=unknown == "skip", compiled=compiled)
        calibration = Calibration(self._lines(score(scorer, ordinary), unknown))
        scored, tally = self._scored(text, input_file, protocol, how, compiled=compiled)
        return rank(self._lines(scored, unknown, tally), calibration, top)

    def follow(
        self,
        chunks: Iterable[bytes],
        *,
        protocol: Protocol = "eighth",
        encoding: str | None = None,
        unknown: Unknown = "score",
    ) -> "ScoredText":
        """The lines of a text whose bytes come in `chunks`, without end perhaps, each scored as soon as it is whole.

        `protocol` and `unknown` as for `rank`; `encoding` None: UTF-8, or what the first of them show.

        Example:
            >>> [line.number for line in model.follow([b"The cat sat on", b" the log. The owl"])]
            [1]
        """
        from letterwise.evaluation.follow import follow
        from letterwise.evaluation.score import Scorer

        require_choice(unknown)
        compiled, tally = self.window_scorer.nats if self.window_scorer else None, Tally()
        scorer = Scorer(self.text_model, protocol=protocol, skips=unknown == "skip", compiled=compiled)
        return self._lines(follow(scorer, pieces(chunks), tally, encoding=encoding, unknown=unknown), unknown, tally)

    def novelty(
        self,
        text: str | None = None,
        *,
        input_file: Files | None = None,
        nearest: int = 1,
        encoding: str | None = None,
        progress: Progress | None = None,
    ) -> "Novelty":
        """How much of a text is copied from the training text (its training part): see memorization/novelty.py.

        Args:
            text: the text itself;
            input_file: or its files. Without both, the validation part of the text that the model was trained on: what a new
                text of its kind shares with it anyway.
            nearest: give the most similar training line of so many lines, those with the longest runs.
            encoding: how the bytes of `input_file` spell characters (None: UTF-8, or what its first bytes show).
            progress: is notified while a text is read.

        Returns:
            The longest verbatim run with its places, the share of characters in runs of 20, 50, 100 or more, and the nearest
            lines. Characters that the model does not know are never copied.

        Raises:
            UserError: the text is missing or empty, or the training text is gone.

        Example:
            >>> found = model.novelty("My cat sat on the mat. It purrs.")
            >>> found.longest.text, found.longest.start, found.longest.training_start
            (' cat sat on the mat. ', 2, 3)
            >>> found.shares
            {20: 0.65625, 50: 0.0, 100: 0.0}
        """
        from letterwise.memorization.novelty import novelty

        how = reading("skip" if self.vocabulary.kind == "byte" else "score", encoding, progress)
        text, nearest = argument("text", text, str), argument("nearest", nearest, int, 1)
        if text is None:
            ids, _ = whole_ids(self.file, file_names(input_file), how)
        else:
            ids = self.text_model.encode(text, how.unknown)
        return novelty(ids, self.vocabulary, self.suffixes, nearest=nearest)

    def verbatim_runs(self, text: str, *, min_chars: int = 20) -> list[tuple[int, int]]:
        """The maximal runs of so many characters or more that occur in the training text, too: where each begins and ends.

        Runs may overlap. Raises `UserError` as `novelty` does.

        Example:
            >>> text = "My cat sat on the mat. It purrs."
            >>> [text[start:end] for start, end in model.verbatim_runs(text)]
            [' cat sat on the mat. ']
        """
        from letterwise.data.offsets import places, whole
        from letterwise.memorization.novelty import windows

        text, min_chars = argument("text", text, str, ""), argument("min_chars", min_chars, int, 20)
        ids, plain = self.text_model.encode(text), self.text_model.reads_plain_ends("score")
        where = places(text, self.vocabulary, plain_ends=plain)
        found = [whole(where, *run) for _, runs in windows(ids, self.suffixes) for run in runs.tolist()]
        return [(start, end) for start, end in found if end - start >= max(1, min_chars)]

    def cost(self, text: str) -> float:
        """What a whole text costs, in bits, after an imagined line break; a character that the vocabulary lacks costs 33.4.

        So the costs of one text under models of different vocabularies can be compared.

        Example:
            >>> model.cost("The cat sat on the mat. ") < model.cost("On the mat sat the cat. ")
            True
        """
        from letterwise.evaluation.classify import cost

        return cost(self.text_model, argument("text", text, str, ""))

    def _before(self, input_file: Files | None, part: str, progress: Progress | None) -> "np.ndarray":
        """The training part of the model's own text, to be read before. Raises `UserError` where it is among what is scored."""
        if input_file is None and part in ("train", "all"):
            raise UserError(f"protocol='primed' has read the training part before, and split={part!r} holds it: score 'val'.")
        return own_text(self.file, (progress or Progress()).note).part("train")

    def _scored(
        self,
        text: str | None,
        input_file: Files | None,
        protocol: str,
        how: Reading,
        *,
        closely: bool = False,
        compiled: "Compiled | None" = None,
    ) -> "tuple[Iterator[Characters], Tally]":
        """The characters of a text, scored, and how many were skipped, which is noted."""
        from letterwise.evaluation.score import Scorer, score

        ids, tally = self._ids(argument("text", text, str), input_file, how)
        if tally.skipped:
            how.note(f"{tally}.")
        known = len(ids) - tally.skipped
        if tally.skipped and not known:
            raise UserError("the text has no character that the model knows: there is nothing to score.")
        if known + (self.file.line_break is not None) < 2:
            raise UserError(f"there is nothing to predict: that takes 2 characters or more, and the text has {known}.")
        if len(ids) >= ANNOUNCED_CHARS:
            how.note(f"scoring {len(ids):,} characters")
        skips = how.unknown == "skip"
        scorer = Scorer(self.text_model, protocol=protocol, closely=closely, skips=skips, compiled=compiled)
        return score(scorer, ids), tally

    def _ids(self, text: str | None, input_file: Files | None, how: Reading) -> "tuple[np.ndarray, Tally]":
        """The ids of a text that is to be scored, also of characters that are skipped: how many these are, too."""
        from letterwise.evaluation.score import count_oov

        require_choice(how.unknown)
        skips = how.unknown == "skip" and self.vocabulary.kind == "char"
        how = replace(how, unknown="score") if skips else how
        if text is None:
            ids, tally = whole_ids(self.file, file_names(input_file), how)
        else:
            ids, tally = self.text_model.encode(text, how.unknown), Tally(len(text))
        return ids, replace(tally, skipped=count_oov(ids, len(self.vocabulary)) if skips else 0)

    def _lines(self, scored: "Iterator[Characters]", unknown: Unknown, tally: Tally | None = None) -> "ScoredText":
        """Scored characters, line by line."""
        from letterwise.evaluation.score import ScoredText, lines

        first_predicted, skips = self.file.line_break is not None, unknown == "skip"
        return ScoredText(lines(scored, self.vocabulary, first_predicted=first_predicted, skips=skips), tally or Tally())


def reading(unknown: Unknown, encoding: str | None, progress: Progress | None) -> Reading:
    """How a text is read; without `progress`, silently."""
    return Reading(unknown, encoding, (progress or Progress()).note)


def pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same. Raises `UserError` where one is no bytes."""
    for chunk in chunks:
        if not isinstance(chunk, bytes):
            raise UserError(f"{quoted(chunk)} is no piece of bytes, as a file opened with 'rb' gives them.")
        yield chunk


def require_choice(unknown: str) -> None:
    """Raises `UserError` for what no scored text can do with unknown characters."""
    if unknown not in ("score", "error", "skip"):
        raise UserError(f"unknown={unknown!r} must be 'score', 'error' or 'skip'.")
