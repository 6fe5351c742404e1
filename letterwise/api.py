"""Python interface: a facade with no logic of its own.

train(input_file=…) or load(path) ──▶ LanguageModel ──▶ generate · stream · evaluate · score · novelty · compress · vocabulary

PyTorch is loaded by what needs it, when it is asked for: a model is read without.
"""

import io
import math
import secrets
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypedDict, Unpack

from letterwise import stdin
from letterwise.atomic import replacing
from letterwise.checkpoint import ModelFile, load_model, save_model
from letterwise.config import Config, DataConfig
from letterwise.config.accounting import parameters
from letterwise.config.arguments import argument, parts
from letterwise.config.generation import MOST_TOKENS, RequestConfig
from letterwise.data.lines import LineSet
from letterwise.data.prepare import encode_corpus, prepare, training_text
from letterwise.data.token_stream import TokenStream
from letterwise.data.vocabulary import Unknown, Vocabulary
from letterwise.errors import UserError, finite, quoted
from letterwise.inference.constraints.limits import Limits
from letterwise.inference.engine import Backend
from letterwise.inference.generate import Samples, write
from letterwise.inference.lines import WrittenLines, one_line
from letterwise.inference.sampling.sampler import Sampler
from letterwise.runtime.accelerator import device_name
from letterwise.runtime.waiting import share_processors

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from letterwise.checkpoint.text_model import TextModel
    from letterwise.compression import Packed, Predictors
    from letterwise.data.suffix_array import Suffixes
    from letterwise.evaluation import Score
    from letterwise.evaluation.classify import Verdict
    from letterwise.evaluation.rank import Ranked
    from letterwise.evaluation.score import Characters, Line, Scorer
    from letterwise.inference.cpu.backend import CompiledBackend
    from letterwise.memorization.novelty import Novelty
    from letterwise.model import Transformer
    from letterwise.progress import Progress

MANY = 2**17  # characters: scoring so many takes seconds, and is announced


class Choosing(TypedDict, total=False):
    """How characters are chosen and what may be written: keywords that `samples` explains, so that an editor completes them."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    typical_p: float
    repetition_penalty: float
    frequency_penalty: float
    presence_penalty: float
    penalty_window: int
    logit_bias: Mapping[str, float] | None
    greedy: bool
    beam: int
    stop: str | Sequence[str]
    until_line: bool
    charset: str | None
    exclude: str
    must_contain: str | Sequence[str]
    regex: str | None
    json_schema: str | dict[str, Any] | PathLike[str] | None
    grammar: str | PathLike[str] | None
    max_copy: int | None
    unknown: Literal["error", "skip"]


class Writing(Choosing, total=False):
    """The same, and how much is written."""

    num_tokens: int
    max_seconds: float
    rng_seed: int | None


class LanguageModel:
    """A trained model, ready to write and to be asked.

    Attributes:
        config: how it was built and trained.
        vocabulary: its characters and their ids; `model.vocabulary.encode("text")`.
        history: a row per validation, as in metrics.jsonl.
        data: the text it learned: fingerprint, sources, bounds of its parts.
    """

    def __init__(self, file: ModelFile, device: str = "auto") -> None:
        self.file = file
        share_processors()  # before PyTorch is loaded, if it will be
        self.device = device_name(device)

    @cached_property
    def transformer(self) -> "Transformer":
        """The model itself, on its device."""
        return self.text_model.transformer

    @cached_property
    def text_model(self) -> "TextModel":
        """The same, with all that it reads a text with."""
        from letterwise.checkpoint.text_model import text_model

        return text_model(self.file, self.device)

    @cached_property
    def _reader(self) -> Backend:
        """What writes with it: compiled for a CPU, the model itself elsewhere."""
        if self.device == "cpu":
            return self._compiled
        from letterwise.inference.torch_backend import TorchBackend

        return TorchBackend(self.transformer, self.file.counts, self.file.line_break)

    @cached_property
    def _compiled(self) -> "CompiledBackend":
        """The model as the CPU's kernel reads it: the same bits whatever its company."""
        from letterwise.inference.cpu.backend import CompiledBackend

        file = self.file
        return CompiledBackend(self.config.model, len(self.vocabulary), file.weights, file.counts, file.line_break)

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
        """The text it learned."""
        return self.file.data

    @property
    def params(self) -> int:
        """How many numbers were trained."""
        return parameters(self.config.model, len(self.vocabulary)).total

    def samples(self, prompt: str = "", *, num_samples: int = 1, **options: Unpack[Writing]) -> Samples:
        """Continuations of `prompt`, without it, side by side: pieces as they are written, each with the number of its sample.

        A text under a constraint (`regex`, `json_schema`, `grammar`, `must_contain`) always matches when it ends, and ends
        within `num_tokens`. It may end wherever it is whole, and does when the model wants to go on otherwise.

        Args:
            prompt: text to continue; may be empty, and longer than the context.
            num_samples: how many continuations.
            options: how to choose, when to stop and what may be written; docs/flags.md lists them all, with their defaults.
                What a flag takes several times is one text or a list, and `logit_bias` a dict of nats, like `{"xyz": 1.5}`.
                `json_schema` may be a dict, too. Without `rng_seed` there is a fresh one; sample k has `rng_seed` + k,
                whatever its company.

        Returns:
            An iterator over (k, piece of text). Its `ended[k]` says at last what ended sample k, and `texts()` gives each
            as a whole.

        Raises:
            UserError: unknown characters, values without sense, or a constraint that no text of this vocabulary can meet; with
                `max_copy` a training text that is gone, and, while it is written, a text that could only go on as a copy.

        Example:
            >>> model.samples("The cat", num_samples=2, regex=" sat on the (mat|log)").texts()
            [' sat on the ...', ' sat on the ...']
        """
        request, sampler, limits = parts({**options, "num_samples": num_samples}, RequestConfig, Sampler, Limits)
        seed = secrets.randbits(32) if request.rng_seed is None else request.rng_seed
        return write(
            self._reader,
            self.vocabulary,
            argument("prompt", prompt, str, ""),
            sampler=sampler,
            limits=limits,
            rng_seeds=range(seed, seed + request.num_samples),
            unknown=request.unknown,
            training=self._suffixes if limits.max_copy else None,
        )

    def stream(self, prompt: str = "", **options: Unpack[Writing]) -> Iterator[str]:
        """The continuation of `prompt`, without it, piece by piece as it is written: the first is a character, then come more.

        Same options as `samples`.

        Example:
            >>> list(model.stream("The cat sat", num_tokens=3, greedy=True))
            [' ', 'on']
        """
        samples = self.samples(prompt, **options, num_samples=1)  # whatever cannot be is said now, and not at the first piece
        return (piece for _, piece in samples)

    def generate(self, prompt: str = "", **options: Unpack[Writing]) -> str:
        """The continuation of `prompt`, without it, as one string. Same options as `samples`.

        Example:
            >>> model.generate("The cat sat", num_tokens=7, greedy=True)
            ' on the'
        """
        return "".join(self.stream(prompt, **options))

    def lines(
        self,
        many: int,
        prompt: str = "",
        *,
        unique: bool = False,
        new: bool = False,
        num_tokens: int = 1000,
        max_seconds: float = math.inf,
        rng_seed: int | None = None,
        progress: "Progress | None" = None,
        **options: Any,
    ) -> WrittenLines:
        """So many lines, without their line breaks, each as soon as it is found. Each is written by itself, after a line break.

        A line that is empty, or has no end within `num_tokens`, is dropped and another one written in its place; so are those
        that `unique` and `new` exclude. When 1,000 in a row were dropped, no more come: see `ended` of what is returned.

        Args:
            many: how many lines.
            prompt: what every line begins with. (Of several lines it is the last one; the others only come before.)
            unique: no two are equal.
            new: none is a line of the text that the model was made from, validation part included.
            num_tokens: how many characters to write in each at most.
            max_seconds: end after this time.
            rng_seed: equal seeds write equal lines (None: a fresh one); candidate k has rng_seed + k, whatever its company.
            progress: something to tell about reading the text again, for `new`.
            options: as for `samples`: how to choose, and what may be written.

        Returns:
            An iterator over lines. Its `candidates` says how many were written for them, `unfinished`, `known` and `repeated`
            why some were dropped.

        Raises:
            UserError: as for `samples`; or the model's text had no line break, or, for `new`, is gone.

        Example:
            >>> lines = model_of_a_log.lines(2, unique=True, rng_seed=1)
            >>> sorted(lines), lines.candidates >= 2
            (['start', 'stop'], True)
        """
        options = {name: value for name, value in options.items() if value is not None}
        many, num_tokens = argument("many", many, int, 0), argument("num_tokens", num_tokens, int, 1000)
        prompt, max_seconds = argument("prompt", prompt, str, ""), argument("max_seconds", max_seconds, float, math.inf)
        if not 1 <= many <= MOST_TOKENS:
            raise UserError(f"--lines {many} must be from 1 to {MOST_TOKENS:,}.")
        if self.vocabulary.line_break is None:
            raise UserError("this model's text had no line break, and it knows no end of a line: train one with --lines.")
        for name in ("greedy", "beam"):
            if many > 1 and options.get(name):
                raise UserError(f"--{name} writes one line, always the same: give --lines 1, or leave it out.")
        known = ()
        if new:
            missing = "without it nobody can tell what is new: leave out --new."
            known = LineSet(self._own_text(told(progress), missing).part("all"), self.vocabulary)
        options, whole = one_line(num_tokens=num_tokens, **options)
        return WrittenLines(
            lambda seeds, seconds: self.samples(
                "\n" + prompt, max_seconds=seconds, num_samples=len(seeds), rng_seed=seeds[0], **options
            ),
            many,
            begin=prompt.rpartition("\n")[2],
            whole=whole,
            unique=unique,
            known=known,
            rng_seed=secrets.randbits(32) if rng_seed is None else argument("rng_seed", rng_seed, int),
            max_seconds=max_seconds,
        )

    def evaluate(
        self,
        input_file: str | PathLike[str] | Sequence[str] | None = None,
        *,
        split: str | None = None,
        protocol: str = "blocks",
        unknown: Unknown = "error",
        encoding: str | None = None,
        progress: "Progress | None" = None,
    ) -> "Score":
        """Mean surprise over a text: the one it was trained on (its validation part), or a named one (all of it).

        Args:
            input_file: another text, like `train`'s.
            split: "train", "val", "test" or "all", cut as training cut it.
            protocol: "blocks", "sliding", or "online", which learns from each character after scoring it.
            unknown: "error" or "skip" for characters outside the vocabulary.
            encoding: how the bytes of `input_file` spell characters (None: UTF-8, or what its first bytes tell).

        Returns:
            The score, with that of counting alone beside it wherever it is known.

        Raises:
            UserError: the text is missing, has changed, or has characters the model does not know.
        """
        from letterwise.evaluation import evaluate
        from letterwise.evaluation.baseline import utf8_bytes, xz_bits
        from letterwise.units import nats

        if unknown not in ("error", "skip"):
            raise UserError(f"unknown={unknown!r} must be 'error' or 'skip': to charge for unknown characters, use `score`.")
        ids, split = self._ids(input_file, split, unknown, progress, encoding)
        if protocol == "online":
            from letterwise.online import evaluate as evaluate_online

            score = evaluate_online(self.file, ids)
        else:
            score = evaluate(self.text_model, ids, protocol=protocol)
        finite(score.nats_per_char)
        score = replace(score, bytes=utf8_bytes(ids[1:], self.vocabulary), xz_bits_per_char=xz_bits(ids, self.vocabulary))
        same = self.data.get("every") == 1  # training compared over all of it, as here
        if same and input_file is None and split == "val" and self.file.counts is None:
            counting = self.data.get("baselines", {}).get("counting alone")
            score = replace(score, counting_nats_per_char=counting and nats(counting))
        return score

    def score(
        self,
        text: str | None = None,
        *,
        input_file: str | PathLike[str] | Sequence[str] | None = None,
        protocol: str = "blocks",
        closely: bool = False,
        unknown: Unknown = "score",
        encoding: str | None = None,
        progress: "Progress | None" = None,
    ) -> "Iterator[Line]":
        """What each character of a text costs, line by line.

        Args:
            text: the text itself;
            input_file: or its files. Without both, the validation part of the text that the model was trained on.
            protocol: "blocks", "eighth" or "sliding"; the mean over all lines is what `evaluate` says by the same.
            closely: also tell each character's rank and the five likeliest.
            unknown: characters outside the vocabulary: "score" charges 33.4 bits for each, "error", or "skip" drops them.
            encoding: how the bytes of `input_file` spell characters (None: UTF-8, or what its first bytes tell).

        Raises:
            UserError: as for `evaluate`.

        Example:
            >>> [line] = model.score("The cat sat on the log. ")
            >>> line.text, len(line.characters), 0 < line.bits_per_char < 2
            ('The cat sat on the log. ', 24, True)
        """
        from letterwise.evaluation.score import lines

        asked = {"protocol": protocol, "closely": closely, "unknown": unknown, "encoding": encoding, "progress": progress}
        scored = self._scored(text, input_file=input_file, **asked)
        return lines(scored, self.vocabulary, first_predicted=self.file.line_break is not None)

    def heat_map(self, text: str | None = None, *, title: str = "Heat map", **options: Any) -> str:
        """A page of HTML that shows what each character costs. Same options as `score`, but for `closely`.

        Raises `UserError` for texts of more than 500,000 characters, too.

        Example:
            >>> model.heat_map("The cat sat on the log. ").startswith("<!doctype html>")
            True
        """
        from letterwise.evaluation import heatmap

        return heatmap.page(title, self._scored(text, closely=True, **options), self.vocabulary)

    def rank(
        self,
        text: str | None = None,
        *,
        input_file: str | PathLike[str] | Sequence[str] | None = None,
        calibrate: str | PathLike[str] | Sequence[str] | None = None,
        top: int = 0,
        protocol: str = "eighth",
        unknown: Unknown = "score",
        encoding: str | None = None,
        progress: "Progress | None" = None,
    ) -> "Iterator[Ranked]":
        """The lines of a text, the least ordinary first, each with a p-value: see evaluation/rank.py.

        Args:
            text, input_file, protocol, unknown, encoding: as for `score`.
            calibrate: files of ordinary lines to compare with (None: the validation part of the model's own text).
            top: give only so many (0: all).

        Raises:
            UserError: as for `score`, or when there are fewer than 20 lines to compare with.

        Example:
            >>> [odd] = model_of_a_log.rank("start\\nstop\\npots\\nstart\\n", top=1)
            >>> odd.line.number, odd.line.text
            (3, 'pots\\n')
        """
        from letterwise.evaluation.rank import ENOUGH, Calibration, rank
        from letterwise.evaluation.score import lines, score

        top = argument("top", top, int, 0)
        if top < 0:
            raise UserError(f"--top {top} must be 0 (all) or more.")
        ids = self._scorable(calibrate, unknown, progress, encoding)
        scored = score(self._scorer(protocol), ids[:ENOUGH] if calibrate is None else ids)
        calibration = Calibration(lines(scored, self.vocabulary, first_predicted=self.file.line_break is not None))
        asked: dict[str, Any] = {"protocol": protocol, "unknown": unknown, "encoding": encoding, "progress": progress}
        text_lines = self.score(text, input_file=input_file, **asked)
        return rank(text_lines, calibration, top)

    def follow(
        self,
        chunks: Iterable[bytes],
        *,
        protocol: str = "eighth",
        encoding: str | None = None,
        unknown: Unknown = "score",
    ) -> "Iterator[Line]":
        """The lines of a text whose bytes come in `chunks`, without end perhaps, each scored as soon as it is whole.

        `protocol` and `unknown` as for `rank`; `encoding` None: UTF-8, or what the first of them tell.

        Example:
            >>> [line.number for line in model.follow([b"The cat sat on", b" the log. The owl"])]
            [1]
        """
        from letterwise.evaluation.follow import follow
        from letterwise.evaluation.score import lines

        _require_choice(unknown)
        scored = follow(self._scorer(protocol), chunks, encoding=encoding, unknown=unknown)
        return lines(scored, self.vocabulary, first_predicted=self.file.line_break is not None)

    def novelty(
        self,
        text: str | None = None,
        *,
        input_file: str | PathLike[str] | Sequence[str] | None = None,
        nearest: int = 1,
        encoding: str | None = None,
        progress: "Progress | None" = None,
    ) -> "Novelty":
        """How much of a text is copied from the training text (its training part): see evaluation/novelty.py.

        Args:
            text: the text itself;
            input_file: or its files. Without both, the validation part of the text that the model was trained on: what a new
                text of its kind shares with it anyway.
            nearest: tell the most similar training line of so many lines, those with the longest runs.
            encoding: how the bytes of `input_file` spell characters (None: UTF-8, or what its first bytes tell).

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

        unknown: Unknown = "skip" if self.vocabulary.kind == "byte" else "score"
        ids = self._scorable(input_file, unknown, progress, encoding) if text is None else self.vocabulary.encode(text, unknown)
        return novelty(ids, self.vocabulary, self._suffixes, nearest=nearest)

    def __call__(self, ids: Any) -> "Tensor":
        """The logits of each next character, a PyTorch tensor: (T, V) for `ids` (T,), (B, T, V) for (B, T).

        Nothing is before them. What counts say is looked up, for a model that has some.

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
        return self(self.vocabulary.encode(text))

    def attention(self, text: str) -> "Tensor":
        """How much of each character every character reads: (layers, heads, T, T), a PyTorch tensor whose rows sum to 1.

        Row i of a head is what character i reads of characters 0 to i. Errors as for calling the model.

        Example:
            >>> model.attention("The cat").shape
            torch.Size([2, 2, 7, 7])
        """
        from letterwise.evaluation.inside import attention

        return attention(self.text_model, self.vocabulary.encode(text))

    def cost(self, text: str) -> float:
        """What a whole text costs, in bits, after an imagined line break; a character that the vocabulary lacks costs 33.4.

        So the costs of one text under models of different vocabularies can be compared.

        Example:
            >>> model.cost("The cat sat on the mat. ") < model.cost("On the mat sat the cat. ")
            True
        """
        from letterwise.evaluation.classify import cost

        return cost(self.text_model, text)

    def _scored(
        self,
        text: str | None,
        *,
        closely: bool,
        input_file: Any = None,
        protocol: str = "blocks",
        unknown: Unknown = "score",
        encoding: str | None = None,
        progress: "Progress | None" = None,
    ) -> "Iterator[Characters]":
        """The characters of a text, scored."""
        from letterwise.evaluation.score import score

        _require_choice(unknown)
        named = text is None
        ids = self._scorable(input_file, unknown, progress, encoding) if named else self.text_model.encode(text, unknown)
        if len(ids) + (self.file.line_break is not None) < 2:
            raise UserError(f"a text of {len(ids)} characters has nothing to predict: it takes 2 or more.")
        if len(ids) >= MANY:
            told(progress)(f"scoring {len(ids):,} characters")
        return score(self._scorer(protocol, closely=closely), ids)

    def _scorer(self, protocol: str, *, closely: bool = False) -> "Scorer":
        """What scores a text from its beginning."""
        from letterwise.evaluation.score import Scorer

        return Scorer(self.text_model, protocol=protocol, closely=closely)

    def _scorable(self, input_file: Any, unknown: Unknown, progress: "Progress | None", encoding: str | None) -> "np.ndarray":
        """The ids of a text that is named, or of the validation part of its own, where the model was trained on one."""
        note = told(progress)
        if input_file is None:
            return self._own_text(note).part("val")[int(self.file.line_break is not None) :]
        config = self._data_config(names(input_file), encoding)
        return encode_corpus(config, self.vocabulary, unknown=unknown, in_order=True, note=note).part("all")

    def _begun(self, ids: "np.ndarray") -> "np.ndarray":
        """The ids of a text; for a model of lines, after a line break."""
        import numpy as np

        begin = self.file.line_break
        return ids if begin is None else np.concatenate((np.array([begin], ids.dtype), ids))

    def _ids(
        self, input_file: Any, split: str | None, unknown: Unknown, progress: "Progress | None", encoding: str | None
    ) -> "tuple[np.ndarray, str]":
        """The ids of a part of a text, and which part that is. Raises `UserError` when there is nothing to predict in it."""
        note = told(progress)
        if input_file is None:
            stream, split = self._own_text(note), split or "val"
            ids = stream.part(split)
        else:
            split = split or "all"
            config, in_order = self._data_config(names(input_file), encoding), split == "all"
            stream = encode_corpus(config, self.vocabulary, unknown=unknown, in_order=in_order, note=note)
            ids = self._begun(stream.part(split)) if in_order else stream.part(split)
        if len(ids) < 2:
            hint = " Train with --test_fraction to keep one." if split == "test" and not self.config.data.test_fraction else ""
            raise UserError(f"the {split} part of this text has {len(ids)} characters: there is nothing to predict.{hint}")
        return ids, split

    def compress(self, content: bytes | str | PathLike[str], *, online: bool = False) -> bytes:
        """Any content in the bits that this model needs to tell it: as bytes, or the file of that name.

        Args:
            content: bytes, or the path of a file.
            online: learn from what has passed, on both sides: smaller, and slower.

        Raises:
            UserError: the file cannot be read.

        Example:
            >>> model.decompress(model.compress(b"The owl \\xff")) == b"The owl \\xff"
            True
        """
        packed = io.BytesIO()
        with io.BytesIO(content) if isinstance(content, bytes) else reading(content) as source:
            self._compress(source, packed, online)
        return packed.getvalue()

    def decompress(self, packed: bytes | str | PathLike[str]) -> bytes:
        """The inverse of `compress`. Raises `UserError` when it is damaged, or another model's."""
        content = io.BytesIO()
        with io.BytesIO(packed) if isinstance(packed, bytes) else reading(packed) as source:
            self._decompress(source, content)
        return content.getvalue()

    def compress_file(
        self, input_file: str | PathLike[str], output_file: str | PathLike[str], *, online: bool = False
    ) -> "Packed":
        """The same from file to file, in memory that does not grow with them. The output is there whole or not at all."""
        with reading(input_file) as source, replacing(fspath(output_file)) as target:
            return self._compress(source, target, online)

    def decompress_file(self, input_file: str | PathLike[str], output_file: str | PathLike[str]) -> "Packed":
        """The inverse of `compress_file`."""
        with reading(input_file) as source, replacing(fspath(output_file)) as target:
            return self._decompress(source, target)

    def _compress(self, source: BinaryIO, target: BinaryIO, online: bool) -> "Packed":
        from letterwise.compression import compress, fingerprint

        return compress(source, target, self.vocabulary, fingerprint(self.file), self._predictors(online), online=online)

    def _decompress(self, source: BinaryIO, target: BinaryIO) -> "Packed":
        from letterwise.compression import decompress, fingerprint

        return decompress(source, target, self.vocabulary, fingerprint(self.file), self._predictors)

    def _predictors(self, online: bool) -> "Predictors":
        """What predicts both ways: the model as it is, or as it learns."""
        if online:
            from letterwise.online import Online

            return lambda streams: Online(self.file)
        from letterwise.compression.frozen import Frozen

        return partial(Frozen, self._compiled)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model, as .safetensors or .pth by the extension."""
        save_model(fspath(path), self.file)

    def _data_config(self, input_file: tuple[str, ...], encoding: str | None) -> DataConfig:
        """How training read its text, for another one, whose encoding is its own."""
        return replace(self.config.data, input_file=input_file, dataset=None, val_file=(), encoding=encoding)

    def held_out(self, note: Callable[[str], None] = lambda said: None) -> str:
        """The validation part of the text that it was trained on; "" when that is gone."""
        try:
            return self.vocabulary.decode(self._own_text(note).part("val"))
        except UserError as error:
            note(str(error))
            return ""

    @cached_property
    def _suffixes(self) -> "Suffixes":
        """What its training text holds, ready to be searched."""
        from letterwise.data.suffix_array import suffixes_of

        try:
            text = self._own_text(told(None), missing="train it again.")
            return suffixes_of(text)
        except UserError as error:
            raise UserError(f"the training text is needed, to know what is copied from it: {error}") from error

    def _own_text(self, note: Any, missing: str = "name a text with --input_file.") -> TokenStream:
        """The text of training: as the cache kept it, or read anew and compared.

        Raises `UserError` that ends in `missing` when it is not there.
        """
        data = self.data
        try:
            return training_text(self.config.data, data["fingerprint"], self.vocabulary, data["bounds"][2], note)
        except UserError as error:
            raise UserError(f"{str(error).rstrip('.')}: {missing}") from error


def classify(
    models: Sequence[LanguageModel], texts: Iterable[str], *, progress: "Progress | None" = None
) -> "Iterator[Verdict]":
    """For each text, which of the models finds it likeliest, and with what probability it is of that one's kind.

    The probabilities are calibrated on pieces of the models' own validation texts, as long as the first of `texts`.

    Raises `UserError` for fewer than two models.

    Example:
        >>> [verdict] = classify([model, model], ["The cat sat on the mat."])
        >>> verdict.probabilities
        [0.5, 0.5]
    """
    from letterwise.evaluation.classify import Classifier

    if len(models) < 2:
        raise UserError(f"{len(models)} model has nothing to be compared with: name several with --model_path.")
    note, classifier = told(progress), None
    for text in texts:
        if classifier is None:
            held_out = [model.held_out(note) for model in models]
            classifier = Classifier([model.cost for model in models], held_out, len(text))
            if not classifier.calibrated:
                note("the probabilities are not calibrated: not every model's own text is there, or long enough.")
        yield classifier.judge(text)


def load(path: str | PathLike[str], *, device: str = "auto") -> LanguageModel:
    """Read a model file. Runs no code from it. Raises `UserError` when it is missing, damaged, or no model."""
    [name] = names(path)
    return LanguageModel(load_model(name), device)


def train(
    input_file: str | PathLike[str] | Sequence[str] | None = None,
    *,
    config: str | PathLike[str] | None = None,
    out: str | PathLike[str] | None = None,
    model_path: str | PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: "Progress | bool" = True,
    **knobs: Any,
) -> LanguageModel:
    """Train a model and give back its best state; the run's files lie in `out`, as after `letterwise train`.

    Args:
        input_file: one or several files, folders or globs; without it (and without `dataset=`), the embedded text.
        config: a TOML file of knobs.
        out, model_path, resume, overwrite: as the flags of that name.
        progress: how it goes is shown on stderr; False is silent, and a `Progress` is told instead.
        knobs: `preset`, `size`, and every flag of `letterwise train --help`, like `max_iters=500`.

    Raises:
        UserError: something asked for cannot be done.
    """
    share_processors()
    from letterwise.config.presets import asked_values
    from letterwise.progress import Progress, progress_for_terminal
    from letterwise.training import prepare

    if not isinstance(progress, Progress):
        progress = progress_for_terminal() if progress else Progress()
    flags = dict(knobs)
    if input_file is not None:
        flags["input_file"] = names(input_file)
    if isinstance(flags.get("val_file"), str | PathLike):
        flags["val_file"] = names(flags["val_file"])
    file, out, model_path = (None if path is None else fspath(path) for path in (config, out, model_path))
    result = prepare.train(
        asked_values(flags, file),
        out=out,
        model_path=model_path,
        resume=resume,
        overwrite=overwrite,
        progress=progress,
    )
    return load(result.model_path, device=flags.get("device", "auto"))


def read_text(
    input_file: str | PathLike[str] | Sequence[str],
    *,
    encoding: str | None = None,
    vocab: Literal["char", "byte"] = "char",
    progress: "Progress | None" = None,
) -> str:
    """The text of one or several files, folders or globs. Raises `UserError` when it cannot be read, or is empty.

    With `vocab="byte"`, any bytes; those that are no UTF-8 are lone surrogates in it, as a byte model's vocabulary spells them.
    """
    config = DataConfig(input_file=names(input_file), encoding=encoding, vocab=vocab)
    stream = prepare(config, note=told(progress))
    return stream.vocabulary.decode(stream.part("all"))


def _require_choice(unknown: str) -> None:
    """Raises `UserError` for what no scored text can do with unknown characters."""
    if unknown not in ("score", "error", "skip"):
        raise UserError(f"unknown={unknown!r} must be 'score', 'error' or 'skip'.")


def told(progress: "Progress | None") -> Callable[[str], None]:
    """Where notes go: nowhere, without a listener."""
    return progress.note if progress else lambda text: None


def names(files: str | PathLike[str] | Sequence[str]) -> tuple[str, ...]:
    """One file or several, as a tuple of texts. Raises `UserError` for anything else."""
    try:
        return (fspath(files),) if isinstance(files, str | PathLike) else tuple(fspath(f) for f in files)
    except TypeError as error:
        raise UserError(f"{quoted(files)} names no file, and is no list of names.") from error


@contextmanager
def reading(path: str | PathLike[str]) -> Generator[BinaryIO]:
    """A file to read, or stdin for "-". Raises `UserError` when it cannot be."""
    said = fspath(path)
    try:
        with stdin.opened() if said == "-" else open(said, "rb") as file:
            yield file
    except OSError as error:
        raise UserError(f"cannot read {said!r}: {error.strerror or error}. Name a file that is there.") from error
    except ValueError as error:
        if "\0" not in said:
            raise
        raise UserError(f"cannot read {said!r}: no file's name has a NUL. Name a file that is there.") from error
