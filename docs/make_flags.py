"""Generate: what is made from the declarations of options. `make docs` writes it; a test holds it up to date.

letterwise/config/declaration.py, generation.py ──▶ docs/flags.md · letterwise/api/options.py
"""

import math
import re
import typing
from collections.abc import Iterable, Iterator
from dataclasses import Field
from pathlib import Path
from typing import Any, Literal

from letterwise.config import PARTS
from letterwise.config.generation import GENERATION, SamplerConfig
from letterwise.config.knob import NAMES, default_of, metavar_of, typed_fields, without_none
from letterwise.config.presets import PRESETS, SIZES
from letterwise.serve.config import LimitConfig, PlaceConfig

FLAGS = Path(__file__).with_name("flags.md")
OPTIONS = FLAGS.parents[1] / "letterwise/api/options.py"
EMPTY: tuple[object, ...] = (None, (), {}, "", math.inf)  # defaults that need no word


def flags_page() -> str:
    """Every option with its meaning and its default; and what presets and sizes make of those of training."""
    lines = [
        "# Every flag of `letterwise train`, `letterwise generate` and `letterwise serve`",
        "",
        "Made from `letterwise/config/declaration.py`, `generation.py` and `letterwise/serve/config.py` by `make docs`.",
        "TOML keys and Python keywords have the same names.",
        "",
        "## `letterwise train`",
    ]
    for part, kind in PARTS.items():
        lines += ["", f"### {part}: {(kind.__doc__ or '').splitlines()[0]}", "", *table(kind)]
    for title, values in (("Presets", PRESETS), ("Sizes", SIZES)):
        lines += ["", f"### {title}", ""]
        for name, chosen in values.items():
            lines.append(f"* `{name}`: " + (", ".join(f"{k} {v}" for k, v in chosen.items()) or "the defaults above"))
    lines += ["", "## `letterwise generate`"]
    for kind in GENERATION:
        lines += ["", f"### {(kind.__doc__ or '').splitlines()[0]}", "", *table(kind)]
    lines += ["", "## `letterwise serve`"]
    for kind in (PlaceConfig, LimitConfig):
        lines += ["", f"### {(kind.__doc__ or '').splitlines()[0]}", "", *table(kind)]
    return "\n".join(lines) + "\n"


def table(kind: type) -> list[str]:
    """A row for each option of a dataclass."""
    lines = ["| flag | meaning | default |", "|---|---|---|"]
    for f, hint in typed_fields(kind):
        kind_of_one = without_none(hint)
        choices = typing.get_args(kind_of_one) if typing.get_origin(kind_of_one) is Literal else ()
        meaning = f.metadata["help"] + (f" ({', '.join(choices)})" if choices else "")
        value = "" if choices or hint is bool else f" {metavar_of(f, hint)}".replace("|", r"\|")
        default = "" if default_of(f) in EMPTY else f"`{str(default_of(f)).lower()}`"
        lines.append(f"| `--{f.name}{value}` | {meaning.replace('|', chr(92) + '|')} | {default} |")
    return lines


def options_module() -> str:
    """The keywords of `generate` and `train` as types, so that an editor completes and checks them."""
    return "\n".join([
        '"""Options: keywords of `LanguageModel.generate` and `letterwise.train`, for editors.',
        "",
        "Made from letterwise/config/generation.py and declaration.py by `make docs`: change those.",
        '"""',
        "",
        "from collections.abc import Mapping, Sequence",
        "from os import PathLike",
        "from typing import Any, Literal, TypedDict",
        *typed_dict("SamplerOptions", "How to choose.", [SamplerConfig]),
        *typed_dict(
            "GenerateOptions", "How to choose, when to stop, and what may be written.",
            [kind for kind in GENERATION if kind is not SamplerConfig], but="num_samples", base="SamplerOptions",
        ),
        *typed_dict("TrainOptions", "Every option of training but `input_file`.", PARTS.values(), but="input_file"),
        f"    preset: {literal(PRESETS)}",
        '    """architecture and training recipe"""',
        f"    size: {literal(SIZES)}",
        '    """size of the model"""',
        "",
    ])  # fmt: skip


def typed_dict(name: str, what: str, kinds: Iterable[type], *, but: str = "", base: str = "TypedDict") -> Iterator[str]:
    """The lines of a class with a key for each option but one, and its help under it."""
    yield from ("", "", f"class {name}({base}, total=False):", f'    """{what}"""', "")
    for kind in kinds:
        for f, hint in typed_fields(kind):
            if f.name != but:
                default = "" if default_of(f) in EMPTY or "default" in f.metadata["help"] else f" (default: {default_of(f)})"
                yield f"    {f.name}: {python_type(f, hint)}"
                yield f'    """{f.metadata["help"]}{default}"""'


def python_type(f: Field[Any], hint: Any) -> str:
    """What a caller may give, as Python spells it."""
    if typing.get_origin(hint) is tuple:
        return "str | PathLike[str] | Sequence[str]" if metavar_of(f, hint) in NAMES else "str | Sequence[str]"
    takes = f.metadata["takes"] or hint
    if typing.get_origin(without_none(takes)) is Literal and without_none(takes) is not takes:
        return f"{literal(typing.get_args(without_none(takes)))} | None"
    name = takes.__name__ if isinstance(takes, type) else str(takes)
    return re.sub(r"\b(typing|collections\.abc|os)\.", "", name).replace("'", '"')


def literal(names: Iterable[str]) -> str:
    """A type that has these values only."""
    return f"Literal[{', '.join(f'{chr(34)}{name}{chr(34)}' for name in names)}]"


if __name__ == "__main__":
    FLAGS.write_text(flags_page())
    OPTIONS.write_text(options_module())
