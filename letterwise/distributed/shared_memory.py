"""Shared memory: an object full of arrays that one process of a machine builds, and all of them map.

object ──pickled, arrays aside──▶ a file, soon without a name ──mapped──▶ the same, its arrays views of the file

What is mapped is in memory once, however many processes look at it, and can be dropped and read again.
"""

import mmap
import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from letterwise.distributed.world import World
from letterwise.errors import UserError
from letterwise.machine import cache_dir

T = TypeVar("T")
ALIGNED = 64  # bytes: where arrays begin


def built_once(build: Callable[[], T], world: World) -> T:
    """What `build` gives, built by the first process of each machine. One process alone keeps what it has built.

    Raises `UserError` where there is no room for it on disk.
    """
    if world.alone:
        return build()
    place = _written(build()) if world.local_rank == 0 else Path()
    places = world.listed(str(place))  # by process: those of one machine follow each other
    mapped = _mapped(Path(places[world.rank - world.local_rank]))
    world.wait()
    if world.local_rank == 0:
        place.unlink()  # who has mapped it keeps it
    return mapped


def _written(built: object) -> Path:
    """An object in a new file that only this user can read: pickled, then its arrays, then where each of them is."""
    arrays: list[pickle.PickleBuffer] = []
    content = pickle.dumps(built, protocol=5, buffer_callback=arrays.append)
    try:
        cache_dir().mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix="shared.tmp-", dir=cache_dir())
        with os.fdopen(handle, "wb") as file:
            spans = []
            for array in arrays:
                file.seek(-file.tell() % ALIGNED, os.SEEK_CUR)
                raw = array.raw()
                spans.append((file.tell(), raw.nbytes))
                file.write(raw)
            end = file.tell()
            file.write(pickle.dumps((content, spans)))
            file.write(end.to_bytes(8, "little"))
    except OSError as error:
        where = f"cannot write to {str(cache_dir())!r} what processes share: {error.strerror}."
        raise UserError(f"{where} Make room, or set LETTERWISE_CACHE elsewhere.") from error
    return Path(name)


def _mapped(path: Path) -> Any:
    """The inverse of `_written`. Only what a process of this very run has written is read."""
    with path.open("rb") as file:
        whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))  # it lives as long as the arrays do
    end = int.from_bytes(whole[-8:], "little")
    content, spans = pickle.loads(whole[end:-8])
    return pickle.loads(content, buffers=[whole[start : start + size] for start, size in spans])
