"""Write: text that a model generates.

prompt, options ──▶ RequestConfig · Sampler · Limits ──▶ Samples ──▶ one text · pieces · several texts · lines
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack

from letterwise.api.loaded import LoadedModel
from letterwise.api.options import GenerateOptions, SamplerOptions
from letterwise.checkpoint.texts import own_text
from letterwise.config.arguments import argument, parts
from letterwise.config.generation import RequestConfig, explained
from letterwise.errors import UserError
from letterwise.inference.constraints.limits import Limits
from letterwise.inference.generate import Samples, generate, or_line_break
from letterwise.inference.lines import WrittenLines, one_line, require_lines
from letterwise.inference.sampling.sampler import Sampler, SamplerState
from letterwise.progress import Progress

if TYPE_CHECKING:
    from letterwise.inference.next_character import NextCharacters

LONGEST_LINE = 1000  # characters, if nothing else is asked

Method = TypeVar("Method", bound=Callable)


def with_options(method: Method) -> Method:
    """The same method; its docstring ends with every option, its meaning and its default."""
    method.__doc__ = f"{method.__doc__}\n        Options:\n{explained(indent=12)}"
    return method


class Writer(LoadedModel):
    """A model that writes."""

    @with_options
    def samples(self, prompt: str = "", *, num_samples: int = 1, **options: Unpack[GenerateOptions]) -> Samples:
        """Continuations of `prompt`, without it, side by side: pieces as they are written, each with the number of its sample.

        A text under a constraint (`regex`, `json_schema`, `grammar`, `must_contain`) always matches when it ends, and ends
        within `num_tokens`. It may end wherever it is whole, and does when the model wants to go on otherwise.

        Args:
            prompt: text to continue; may be empty, and longer than the context.
            num_samples: how many continuations.
            options: how to choose, when to stop and what may be written: see docs/flags.md. What a flag takes several times is
                a text or a list of them, `logit_bias` is a dict like `{"xyz": 1.5}`, and `json_schema` may be a dict.
                `num_tokens` counts bytes with a byte vocabulary. Without `rng_seed` there is a fresh one; sample k has
                `rng_seed` + k, whatever is written beside it.

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
        request, sampler, limits = asked({**options, "num_samples": num_samples})
        prompt, first = argument("prompt", prompt, str, ""), first_seed(request)
        return self._write(prompt, request, sampler, limits, range(first, first + request.num_samples))

    @with_options
    def stream(self, prompt: str = "", **options: Unpack[GenerateOptions]) -> Iterator[str]:
        """The continuation of `prompt`, without it, piece by piece as it is written: the first is a character, then come more.

        Same options as `samples`.

        Example:
            >>> list(model.stream("The cat sat", num_tokens=3, greedy=True))
            [' ', 'on']
        """
        samples = self.samples(prompt, **options, num_samples=1)  # whatever cannot be is said now, and not at the first piece
        return (piece for _, piece in samples)

    @with_options
    def generate(self, prompt: str = "", **options: Unpack[GenerateOptions]) -> str:
        """The continuation of `prompt`, without it, as one string. Same options as `samples`.

        Example:
            >>> model.generate("The cat sat", num_tokens=7, greedy=True)
            ' on the'
        """
        return "".join(self.stream(prompt, **options))

    def next_characters(
        self,
        text: str = "",
        *,
        n: int = 10,
        unknown: Literal["error", "skip"] = "error",
        charset: str | None = None,
        exclude: str = "",
        **options: Unpack[SamplerOptions],
    ) -> "NextCharacters":
        """What may follow a text, the likeliest first: the model's probability, that of its counts alone, and what is drawn.

        Args:
            text: as `prompt` of `generate`.
            n: how many characters to list.
            unknown, charset, exclude, options: as for `samples`; they change what is drawn, and nothing else.

        Raises:
            UserError: unknown characters, or values without sense.

        Example:
            >>> found = model.next_characters("The cat sat o", top_k=1)
            >>> [(c.character, c.probability > 0.9, c.drawn) for c in found.likeliest if c.drawn]
            [('n', True, 1.0)]
        """
        from letterwise.inference.next_character import next_characters

        n, text = argument("n", n, int, 10), argument("text", text, str, "")
        (sampler,), limits = parts(options, Sampler), Limits(charset=charset, exclude=exclude)
        if n < 1:
            raise UserError(f"n={n} must be 1 or more: it says how many characters to list.")
        if sampler.beam:
            raise UserError(f"beam={sampler.beam} looks for whole texts and draws no character: leave it out.")
        state = SamplerState(sampler, self.vocabulary, only=limits.characters(self.vocabulary))
        ids = or_line_break(self.vocabulary.encode(text, unknown), self.vocabulary)
        return next_characters(self.backend, self.vocabulary, ids, state, counts=self.file.counts, n=n)

    def lines(
        self,
        n: int,
        prompt: str = "",
        *,
        unique: bool = False,
        new: bool = False,
        progress: Progress | None = None,
        **options: Unpack[GenerateOptions],
    ) -> WrittenLines:
        """So many lines, without their line breaks, each as soon as it is found. Each is written by itself, after a line break.

        A line that is empty, or has no end within `num_tokens`, is dropped and another one written in its place; so are those
        that `unique` and `new` exclude. When 1,000 in a row were dropped, no more come: see `ended` of what is returned.

        Args:
            n: how many lines.
            prompt: what every line begins with. (Of several lines it is the last one; the others only come before.)
            unique: no two are equal.
            new: none is a line of the text that the model was made from, validation part included.
            progress: is notified while the text is read again, for `new`.
            options: as for `samples`, but `num_tokens` is how many characters to write in each line at most (default: 1000).
                Candidate k has `rng_seed` + k, whatever is written beside it.

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
        n, prompt = argument("n", n, int, 0), argument("prompt", prompt, str, "")
        given = {name: value for name, value in options.items() if value is not None}
        request, sampler, limits = asked({"num_tokens": LONGEST_LINE} | given)
        require_lines(n, self.vocabulary, sampler)
        known, missing = (), "without it nobody can tell what is new: leave out --new."
        if new:
            from letterwise.data.lines import LineSet

            text = own_text(self.file, (progress or Progress()).note, missing=missing)
            known = LineSet(text.part("all"), self.vocabulary)
        line, whole = one_line(limits)
        return WrittenLines(
            lambda seeds, seconds: self._write("\n" + prompt, request, sampler, replace(line, max_seconds=seconds), seeds),
            n,
            begin=prompt.rpartition("\n")[2],
            whole=whole,
            unique=unique,
            known=known,
            rng_seed=first_seed(request),
            max_seconds=limits.max_seconds,
        )

    def _write(
        self, prompt: str, request: RequestConfig, sampler: Sampler, limits: Limits, rng_seeds: Sequence[int]
    ) -> Samples:
        """Begin to write: all options are checked by now."""
        return generate(
            self.backend,
            self.vocabulary,
            prompt,
            sampler=sampler,
            limits=limits,
            rng_seeds=rng_seeds,
            unknown=request.unknown,
            training=self.suffixes if limits.max_copy else None,
        )


def asked(options: dict[str, Any]) -> tuple[RequestConfig, Sampler, Limits]:
    """What the options ask for; a schema or a grammar may be the name of a file. Raises `UserError`."""
    request, sampler, limits = parts(options, RequestConfig, Sampler, Limits)
    if limits.json_schema is not None or limits.grammar is not None:
        from letterwise.api.constraint_files import with_files

        limits = with_files(limits)
    return request, sampler, limits


def first_seed(request: RequestConfig) -> int:
    """The seed that was asked for, or a fresh one."""
    return secrets.randbits(32) if request.rng_seed is None else request.rng_seed
