"""Unchanged: what was found in the files of a large text, as long as nobody has written to them since.

    file ──identity──▶ device, inode, size, instants of the last change        as before? then what was found still holds

To see that ten gigabytes are the same takes half a minute of reading. So, as git does, a file of a large text is taken for
unchanged where the system says that nobody has written to it. The content of any other text is looked at each time.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from letterwise.atomic import write_bytes
from letterwise.data.reading.source import Source
from letterwise.errors import UserError

LARGE, MANY = 2**28, 1000  # bytes, and files, from which on a text is large
SETTLED_NS = 2 * 10**9  # clocks of file systems are coarse: one change soon after another may leave the same instant
FACTS = 6  # of a file: identity, encoding, skip, remark, digest, size

Identity = tuple[int, ...]


def identity(path: str | Path) -> Identity | None:
    """What changes when somebody writes to a file; None where there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def settled(found: Identity | None) -> bool:
    """Whether it is long enough since a file was changed: one more change would be another instant."""
    return found is not None and time.time_ns() - max(found[-2:]) >= SETTLED_NS


class Unchanged:
    """The files of a text: what was found in them before, and who they are now, before they are read."""

    def __init__(self, folder: Path | None, text: Any) -> None:
        """`text` is all that says which files are read, and how. Without a `folder`, nothing is known or kept."""
        digest = hashlib.sha256(json.dumps(text).encode()).hexdigest()
        self.path = folder / f"unchanged-{digest[:32]}.json" if folder else None
        self.files: dict[str, Identity | None] = {}
        try:
            kept = json.loads(self.path.read_bytes()) if self.path else {}
            sound = all(len(facts) == FACTS for facts in kept.values())
        except (OSError, ValueError, TypeError, AttributeError):
            sound = False
        self.before: dict[str, list[Any]] = kept if sound else {}

    def recalled(self, source: Source) -> Source:
        """The content of a file, as it was found before, where it is unchanged."""
        if not source.file:
            return source
        name = str(source.file)
        found = identity(name)
        self.files[name] = found if settled(found) else None
        kept, *facts = self.before.get(name, [None])
        if not found or kept != list(found):
            return source
        encoding, skip, remark, *known = facts
        return replace(source, encoding=encoding, skip=skip, remark=remark, known=tuple(known))

    def keep(self, sources: Sequence[Source], digests: Sequence[tuple[str, int]]) -> None:
        """Keep what was found in the files of a large text that nobody has changed meanwhile."""
        small = sum(size for _, size in digests) < LARGE and len(sources) < MANY
        if small or not self.path or all(source.known or not source.file for source in sources):
            return
        facts = {
            name: [found, source.encoding, source.skip, source.remark, *digest]
            for source, digest in zip(sources, digests, strict=True)
            if (found := self.files.get(name := str(source.file))) and identity(name) == found
        }
        with contextlib.suppress(OSError, UserError):  # a cache that can only be read is used all the same
            write_bytes(self.path, json.dumps(facts).encode())
