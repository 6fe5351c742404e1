"""Generate: the parts of the docs that are made from the code. `make docs` writes them; a test holds them up to date.

letterwise/config/declaration.py ──▶ docs/flags.md
"""

import typing
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Literal

from letterwise.config import PARTS
from letterwise.config.presets import PRESETS, SIZES

FLAGS = Path(__file__).with_name("flags.md")


def flags_page() -> str:
    """Every knob with its meaning, its default, and what presets and sizes make of it."""
    lines = [
        "# Every flag of `letterwise train`",
        "",
        "Made from `letterwise/config/declaration.py` by `make docs`. TOML keys have the same names.",
    ]
    for part, kind in PARTS.items():
        types = typing.get_type_hints(kind)
        lines += ["", f"## {part}: {(kind.__doc__ or '').splitlines()[0]}", "", "| flag | meaning | default |", "|---|---|---|"]
        for f in fields(kind):
            choices = typing.get_args(types[f.name]) if typing.get_origin(types[f.name]) is Literal else ()
            meaning = f.metadata["help"] + (f" ({', '.join(choices)})" if choices else "")
            default = "" if f.default in (None, (), MISSING) else f"`{str(f.default).lower()}`"
            lines.append(f"| `--{f.name}` | {meaning.replace('|', chr(92) + '|')} | {default} |")
    for title, table in (("Presets", PRESETS), ("Sizes", SIZES)):
        lines += ["", f"## {title}", ""]
        for name, values in table.items():
            lines.append(f"* `{name}`: " + (", ".join(f"{k} {v}" for k, v in values.items()) or "the defaults above"))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    FLAGS.write_text(flags_page())
