"""Generate: the parts of the docs that are made from the code. `make docs` writes them; a test holds them up to date.

letterwise/config/declaration.py, generation.py ──▶ docs/flags.md
"""

import math
import typing
from pathlib import Path
from typing import Literal

from letterwise.config import PARTS
from letterwise.config.generation import GENERATION
from letterwise.config.knob import default_of, metavar_of, typed_fields
from letterwise.config.presets import PRESETS, SIZES

FLAGS = Path(__file__).with_name("flags.md")
EMPTY: tuple[object, ...] = (None, (), {}, "", math.inf)  # defaults that need no word


def flags_page() -> str:
    """Every option with its meaning and its default; and what presets and sizes make of those of training."""
    lines = [
        "# Every flag of `letterwise train` and `letterwise generate`",
        "",
        "Made from `letterwise/config/declaration.py` and `generation.py` by `make docs`. TOML keys and Python",
        "keywords have the same names.",
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
    return "\n".join(lines) + "\n"


def table(kind: type) -> list[str]:
    """A row for each option of a dataclass."""
    lines = ["| flag | meaning | default |", "|---|---|---|"]
    for f, hint in typed_fields(kind):
        choices = typing.get_args(hint) if typing.get_origin(hint) is Literal else ()
        meaning = f.metadata["help"] + (f" ({', '.join(choices)})" if choices else "")
        value = "" if choices or hint is bool else f" {metavar_of(f, hint)}".replace("|", r"\|")
        default = "" if default_of(f) in EMPTY else f"`{str(default_of(f)).lower()}`"
        lines.append(f"| `--{f.name}{value}` | {meaning.replace('|', chr(92) + '|')} | {default} |")
    return lines


if __name__ == "__main__":
    FLAGS.write_text(flags_page())
