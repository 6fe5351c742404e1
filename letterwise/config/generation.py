"""Generation: what can be asked of a text that is to be written. Every option is declared once, here.

    RequestConfig · SamplerConfig · StopConfig · ConstraintConfig ──▶ flags of `letterwise generate`, its help, docs/flags.md,
                                                                      keywords of `LanguageModel.generate` (api/options.py)

What an option does stands where it is done: inference/sampling and inference/constraints.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal

from letterwise.config.knob import check, default_of, knob, typed_fields
from letterwise.errors import UserError

MAX_TOKENS = 10**9
MAX_SAMPLES = 1_000_000  # of one prompt: each is kept until all are there


@dataclass(frozen=True)
class RequestConfig:
    """How often, from which seed."""

    num_samples: int = knob(1, "how many continuations", min=1, max=MAX_SAMPLES, metavar="K")
    rng_seed: int | None = knob(None, "the same seed gives the same text; sample k uses seed N+k", min=0)
    unknown: Literal["error", "skip"] = knob("error", "characters outside the vocabulary")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class SamplerConfig:
    """How to choose. The defaults switch everything off."""

    temperature: float = knob(1.0, "below 1 safer, above 1 wilder", above=0)
    top_k: int = knob(0, "keep the K likeliest characters (0: all)", min=0, max=sys.maxunicode + 1, metavar="K")
    top_p: float = knob(1.0, "keep the likeliest characters, up to total probability P (1: all)", above=0, max=1, metavar="P")
    min_p: float = knob(0.0, "keep characters at least P times as likely as the likeliest (0: all)", min=0, max=1, metavar="P")
    typical_p: float = knob(
        1.0, "keep characters of near-average surprise, up to total probability P (1: all)", above=0, max=1, metavar="P"
    )
    repetition_penalty: float = knob(1.0, "above 1: characters already written become less likely (1: off)", above=0)
    frequency_penalty: float = knob(0.0, "subtract this much log-probability per earlier occurrence", metavar="NATS")
    presence_penalty: float = knob(0.0, "subtract this much log-probability once a character has occurred", metavar="NATS")
    penalty_window: int = knob(64, "penalties count the last N characters, the prompt's included", min=1, max=10_000_000)
    logit_bias: Mapping[str, float] = knob(
        dict,
        "make these characters likelier (xyz=1.5) or less likely (e=-2) by adding to logits; may be given several times",
        metavar="CHARS=NATS",
        takes=Mapping[str, float] | None,
    )
    greedy: bool = knob(False, "always the likeliest character")
    beam: int = knob(0, "beam search with N beams: the likeliest text it finds (0: off)", min=0, max=10_000)

    def __post_init__(self) -> None:
        if self.temperature == 0:
            raise UserError(
                f"temperature={self.temperature} must be above 0: --greedy takes the likeliest character every time."
            )
        check(self)
        for characters, nats in self.logit_bias.items():
            if not (characters and math.isfinite(nats)):
                raise UserError(
                    f"logit_bias {characters!r}: {nats} must be some characters, and a finite number of nats. "
                    "What is never to be written goes to --exclude."
                )
        if self.beam and (other := next((name for name in self.given if name not in ("beam", "logit_bias")), None)):
            raise UserError(f"beam={self.beam} looks for the likeliest text and draws nothing: leave out {other}.")

    @property
    def given(self) -> list[str]:
        """Names of the options that are not at their defaults."""
        return [f.name for f, _ in typed_fields(type(self)) if getattr(self, f.name) != default_of(f)]


@dataclass(frozen=True)
class StopConfig:
    """When to stop."""

    num_tokens: int = knob(
        100, "characters to write (default: 100; with --lines: at most 1000 in a line)", min=0, max=MAX_TOKENS
    )
    stop: tuple[str, ...] = knob((), "stop before this text is written; may be given several times", metavar="TEXT")
    until_line: bool = knob(False, "stop after the first line break")
    max_seconds: float = knob(math.inf, "stop after this many seconds", above=0, metavar="S")


@dataclass(frozen=True)
class ConstraintConfig:
    """Constraints (every text matches them; what no text can match is refused)."""

    charset: str | None = knob(None, "these characters only", metavar="CHARS")
    exclude: str = knob("", "none of these characters", metavar="CHARS")
    must_contain: tuple[str, ...] = knob((), "this text; may be given several times", metavar="TEXT")
    regex: str | None = knob(None, "a text that matches as a whole", metavar="REGEX")
    json_schema: str | None = knob(
        None, "JSON of this schema", metavar="SCHEMA|FILE", takes=str | PathLike[str] | dict[str, Any] | None
    )
    grammar: str | None = knob(None, "a sentence of this Lark grammar", metavar="LARK|FILE", takes=str | PathLike[str] | None)
    max_copy: int | None = knob(None, "never copy more than N consecutive characters of the training text", min=1)


GENERATION: tuple[type, ...] = (RequestConfig, SamplerConfig, StopConfig, ConstraintConfig)


def explained(indent: int) -> str:
    """A line for each option but `num_samples`: its name, meaning and default."""
    lines = []
    for kind in GENERATION:
        for f, _ in typed_fields(kind):
            if f.name != "num_samples":
                default = "" if "default" in f.metadata["help"] else f" (default: {default_of(f)!r})"
                lines.append(f"{' ' * indent}{f.name}: {f.metadata['help']}{default}\n")
    return "".join(lines)
