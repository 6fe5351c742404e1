"""Python interface: a facade with no logic of its own.

train(input_file=…) or load(path) ──▶ LanguageModel ──▶ generate · stream · evaluate · vocabulary

PyTorch is loaded by what needs it, when it is asked for: a model is read without.
"""

import json
import math
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

from letterwise.accounting import parameters
from letterwise.checkpoint import ModelFile, load_model, save_model
from letterwise.config import Config, DataConfig
from letterwise.data.stream import TokenStream, encode_corpus, prepare, reopen
from letterwise.data.vocabulary import Unknown, Vocabulary
from letterwise.errors import UserError
from letterwise.inference.limits import Limits
from letterwise.inference.predictor import Model
from letterwise.inference.sampling import Sampler
from letterwise.inference.stream import Samples, write
from letterwise.runtime.accelerator import device_name

if TYPE_CHECKING:
    from letterwise.evaluation import Score
    from letterwise.model import Transformer
    from letterwise.training.progress import Progress


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
        self.device = device_name(device)

    @cached_property
    def transformer(self) -> "Transformer":
        """The model itself, on its device."""
        from letterwise.checkpoint.weights import restore

        return restore(self.file, self.device)

    @cached_property
    def _reader(self) -> Model:
        """What writes with it: compiled for a CPU, the model itself elsewhere."""
        if self.device != "cpu":
            from letterwise.inference.plain import Plain

            return Plain(self.transformer, self.file.counts)
        from letterwise.inference.compiled import Compiled

        return Compiled(self.config.model, len(self.vocabulary), self.file.weights, self.file.counts)

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

    def samples(
        self,
        prompt: str = "",
        *,
        num_tokens: int = 100,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        typical_p: float = 1.0,
        repetition_penalty: float = 1.0,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        penalty_window: int = 64,
        logit_bias: Mapping[str, float] | None = None,
        greedy: bool = False,
        beam: int = 0,
        stop: str | Sequence[str] = (),
        until_line: bool = False,
        max_seconds: float = math.inf,
        charset: str | None = None,
        exclude: str = "",
        must_contain: str | Sequence[str] = (),
        regex: str | None = None,
        json_schema: str | dict[str, Any] | PathLike[str] | None = None,
        grammar: str | PathLike[str] | None = None,
        num_samples: int = 1,
        rng_seed: int | None = None,
        unknown: Unknown = "error",
    ) -> Samples:
        """Continuations of `prompt`, without it, side by side: pieces as they are written, each with the number of its sample.

        A text under a constraint (`regex`, `json_schema`, `grammar`, `must_contain`) always matches when it ends, and ends
        within `num_tokens`. It may end wherever it is whole, and does when the model wants to go on otherwise.

        Args:
            prompt: text to continue; may be empty, and longer than the context.
            num_tokens: how many characters to write at most (bytes, with a byte vocabulary).
            temperature: below 1 safer, above 1 wilder.
            top_k: draw from the k likeliest characters only (0: off).
            top_p: draw from the likeliest characters that hold this probability together (1: off).
            min_p: draw from characters at least this fraction as likely as the likeliest (0: off).
            typical_p: draw from the characters of most ordinary surprise that hold this probability together (1: off).
            repetition_penalty: above 1, characters of the last `penalty_window` are less likely (1: off).
            frequency_penalty: nats off for each time that a character is among them.
            presence_penalty: nats off if it is among them at all.
            penalty_window: how many of the last characters count, the prompt's included.
            logit_bias: nats to add to characters, like `{"e": -2.0, "xyz": 1.0}`.
            greedy: always the likeliest character.
            beam: the likeliest text, as far as this many prefixes kept side by side find it (0: off).
            stop: end before the first of these strings.
            until_line: end after the first line break.
            max_seconds: end after this time; a text under a constraint is then completed the shortest known way.
            charset: write these characters only.
            exclude: write none of these characters.
            must_contain: texts that have to be in what is written.
            regex: what is written matches it as a whole (Rust's syntax: no look-around, no back-references).
            json_schema: what is written is JSON of this schema: text, a file, or a dict.
            grammar: what is written is a sentence of this Lark grammar: text or a file.
            num_samples: how many continuations.
            rng_seed: equal seeds write equal text (None: a fresh one); sample k has rng_seed + k, whatever its company.
            unknown: "error" or "skip" for characters of the prompt outside the vocabulary.

        Returns:
            An iterator over (k, piece of text). Its `ended[k]` says at last what ended sample k, and `texts()` gives each
            as a whole.

        Raises:
            UserError: unknown characters, values without sense, or a constraint that no text of this vocabulary can meet.

        Example:
            >>> model.samples("Born ", num_samples=2, regex=r"\\d{4}-\\d{2}-\\d{2}").texts()  # doctest: +SKIP
            ['1623-04-11', '1594-11-30']
        """
        if unknown not in ("error", "skip"):
            raise UserError(f"unknown={unknown!r} must be 'error' or 'skip'.")
        sampler = Sampler(
            temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, typical_p=typical_p,
            repetition_penalty=repetition_penalty, frequency_penalty=frequency_penalty, presence_penalty=presence_penalty,
            penalty_window=penalty_window, logit_bias=logit_bias or {}, greedy=greedy, beam=beam,
        )  # fmt: skip
        limits = Limits(
            num_tokens=num_tokens, stop=texts(stop), until_line=until_line, max_seconds=max_seconds,
            charset=charset, exclude=exclude, must_contain=texts(must_contain), regex=regex,
            json_schema=spelled(json_schema), grammar=spelled(grammar),
        )  # fmt: skip
        if num_samples < 1:
            raise UserError(f"--num_samples {num_samples} must be 1 or more.")
        seed = secrets.randbits(32) if rng_seed is None else rng_seed
        seeds = range(seed, seed + num_samples)
        return write(
            self._reader, self.vocabulary, prompt, sampler=sampler, limits=limits, rng_seeds=seeds, unknown=unknown
        )  # fmt: skip

    def stream(self, prompt: str = "", **options: Any) -> Iterator[str]:
        """The continuation of `prompt`, without it, piece by piece as it is written. Same options as `samples`."""
        samples = self.samples(prompt, **options, num_samples=1)  # whatever cannot be is said now, and not at the first piece
        return (piece for _, piece in samples)

    def generate(self, prompt: str = "", **options: Any) -> str:
        """The continuation of `prompt`, without it, as one string. Same options as `samples`."""
        return "".join(self.stream(prompt, **options))

    def evaluate(
        self,
        input_file: str | PathLike[str] | Sequence[str] | None = None,
        *,
        split: str | None = None,
        protocol: str = "blocks",
        unknown: Unknown = "error",
        progress: "Progress | None" = None,
    ) -> "Score":
        """Mean surprise over a text: the one it was trained on (its validation part), or a named one (all of it).

        Args:
            input_file: another text, like `train`'s.
            split: "train", "val", "test" or "all", cut as training cut it.
            protocol: "blocks" or "sliding".
            unknown: "error" or "skip" for characters outside the vocabulary.

        Returns:
            The score, with that of counting alone beside it wherever it is known.

        Raises:
            UserError: the text is missing, has changed, or has characters the model does not know.
        """
        from letterwise.evaluation import evaluate
        from letterwise.loss import nats
        from letterwise.training.progress import Progress

        note = (progress or Progress()).note
        if input_file is None:
            stream, split = self._own_text(note), split or "val"
        else:
            stream = encode_corpus(self._data_config(names(input_file)), self.vocabulary, unknown=unknown, note=note)
            split = split or "all"
        ids = stream.part(split)
        if len(ids) < 2:
            raise UserError(f"the {split} part of this text has {len(ids)} characters: there is nothing to predict.")
        score = evaluate(self.transformer, ids, counts=self.file.counts, protocol=protocol)
        if input_file is None and split == "val" and self.file.counts is None:  # what training found
            counting = self.data.get("baselines", {}).get("counting alone")
            score = replace(score, counting_nats_per_char=counting and nats(counting))
        return score

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model, as .safetensors or .pth by the extension."""
        save_model(fspath(path), self.file)

    def _data_config(self, input_file: tuple[str, ...]) -> DataConfig:
        """How training read its text, for another one."""
        data = self.config.data
        return DataConfig(input_file=input_file, val_fraction=data.val_fraction, vocab=data.vocab, encoding=data.encoding)

    def _own_text(self, note: Any) -> TokenStream:
        """The text of training: as the cache kept it, or read anew and compared."""
        kept = reopen(self.data["fingerprint"])
        if kept is not None:
            return kept
        if "-" in self.config.data.input_file:
            raise UserError(
                "this model was trained on stdin, and its text is no longer in the cache: name it with --input_file."
            )
        stream = prepare(self.config.data, note=note)
        if stream.fingerprint != self.data["fingerprint"]:
            raise UserError(
                f"the text changed since training: fingerprint {self.data['fingerprint'][:12]}, now {stream.fingerprint[:12]}; "
                "name a text with --input_file to evaluate on it."
            )
        return stream


def load(path: str | PathLike[str], *, device: str = "auto") -> LanguageModel:
    """Read a model file. Runs no code from it. Raises `UserError` when it is missing, damaged, or no model."""
    return LanguageModel(load_model(fspath(path)), device)


def train(
    input_file: str | PathLike[str] | Sequence[str] | None = None,
    *,
    config: str | PathLike[str] | None = None,
    out: str | PathLike[str] | None = None,
    model_path: str | PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: "Progress | None" = None,
    **knobs: Any,
) -> LanguageModel:
    """Train a model and give back its best state; the run's files lie in `out`, as after `letterwise train`.

    Args:
        input_file: one or several files, folders or globs; without it (and without `dataset=`), the embedded text.
        config: a TOML file of knobs.
        out, model_path, resume, overwrite: as the flags of that name.
        progress: something to tell how it goes; silent by default.
        knobs: `preset`, `size`, and every flag of `letterwise train --help`, like `max_iters=500`.

    Raises:
        UserError: something asked for cannot be done.
    """
    from letterwise.training import start

    flags = dict(knobs)
    if input_file is not None:
        flags["input_file"] = names(input_file)
    if isinstance(flags.get("val_file"), str | PathLike):
        flags["val_file"] = names(flags["val_file"])
    paths = [None if path is None else fspath(path) for path in (config, out, model_path)]
    result = start.train(
        flags,
        config_file=paths[0],
        out=paths[1],
        model_path=paths[2],
        resume=resume,
        overwrite=overwrite,
        progress=progress,
    )
    return load(result.model_path, device=flags.get("device", "auto"))


def names(files: str | PathLike[str] | Sequence[str]) -> tuple[str, ...]:
    """One file or several, as a tuple of texts."""
    return (fspath(files),) if isinstance(files, str | PathLike) else tuple(fspath(f) for f in files)


def texts(given: str | Sequence[str]) -> tuple[str, ...]:
    """One text or several, as a tuple."""
    return (given,) if isinstance(given, str) else tuple(given)


def spelled(given: str | PathLike[str] | dict[str, Any] | None) -> str | None:
    """A text, a path or plain containers, as a text."""
    return given if given is None else json.dumps(given) if isinstance(given, dict) else fspath(given)
