"""Record: what an export tells others of a model. Of its texts it tells their names, never the folders they are in.

ModelFile ──▶ names of texts · its best validation
"""

import re

from letterwise.checkpoint import ModelFile
from letterwise.printable import printable

SOURCE = re.compile(r"^(dataset:|.*[/\\])", re.DOTALL)  # what comes before a source's own name


def sources(file: ModelFile) -> list[str]:
    """What it learned from, the last text first, without folders."""
    learned = [file.data["sources"], *(entry["sources"] for entry in reversed(file.lineage))]
    names = (SOURCE.sub("", name) for names in learned for name in names)
    return [printable(name, one_line=True) for name in dict.fromkeys(names) if name not in ("", "-")]


def listed(names: list[str], most: int) -> str:
    """Some of them, and how many others there are."""
    some = ", ".join(names[:most]) or "a text without a name"
    return some if len(names) <= most else f"{some} and {len(names) - most:,} others"
