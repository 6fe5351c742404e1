"""Mutants: damaged and hostile files, and what happens to whoever loads them. Runs as a process of its own.

    python mutants.py FOLDER FIRST LAST        loads mutants FIRST … LAST-1 of the files in FOLDER; one line of JSON at the end

A mutant is a function of its number. Loading one must end in a correct load or in one sentence (`UserError`): within 5 seconds,
in no more memory than twice the file (and an allowance), starting nothing, and writing nothing.
"""

import json
import random
import resource
import struct
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from letterwise.checkpoint import load_model
from letterwise.checkpoint.container import pack, unpack
from letterwise.checkpoint.training_state import load_state
from letterwise.checkpoint.weights import restore
from letterwise.config.presets import asked_values, resolve
from letterwise.data.cache import read_entry
from letterwise.data.reading.datasets import cache_dir
from letterwise.errors import UserError
from letterwise.progress import Progress
from letterwise.training.prepare import prepare_run
from letterwise.training.resume import resumed_config
from letterwise.training.run_directory import RunDirectory

ALLOWANCE = 96 * 2**20  # bytes beside twice the file: what Python and torch take for themselves
LONGEST_S = 5.0
FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.", "os.remove", "os.rename")
NUMBERS = (0, 1, -1, 2**7, 2**15, 2**31, 2**32 - 1, 2**53, 2**63 - 1)


def mutate(content: bytes, random: random.Random) -> bytes:
    """One to three small calamities."""
    for _ in range(random.randint(1, 3)):
        content = random.choice(CALAMITIES)(bytearray(content), random)
    return bytes(content)


def flip(content: bytearray, random: random.Random) -> bytearray:
    """Bits change, often in the first kilobyte, where the claims are."""
    for _ in range(random.choice((1, 1, 2, 8, 64))):
        if content:
            at = random.randrange(min(len(content), random.choice((8, 1024, len(content)))))
            content[at] ^= 1 << random.randrange(8)
    return content


def cut(content: bytearray, random: random.Random) -> bytearray:
    """The end is missing."""
    return content[: random.randrange(len(content) + 1)]


def splice(content: bytearray, random: random.Random) -> bytearray:
    """A piece is copied over another place, or taken out, or put in."""
    a, b = sorted(random.randrange(len(content) + 1) for _ in range(2))
    at = random.randrange(len(content) + 1)
    return random.choice((content[:at] + content[a:b] + content[at:], content[:a] + content[b:], content[a:] + content[:a]))


def claim(content: bytearray, random: random.Random) -> bytearray:
    """A number in the file becomes another one, as text or in binary."""
    digits = [i for i, byte in enumerate(content[:65536]) if 48 <= byte <= 57]
    if digits and random.random() < 0.7:
        at = random.choice(digits)
        return content[:at] + str(random.choice(NUMBERS)).encode() + content[at + 1 :]
    at = random.choice((0, random.randrange(max(1, len(content) - 8))))
    content[at : at + 8] = struct.pack("<q", random.choice(NUMBERS))
    return content


def nest(content: bytearray, random: random.Random) -> bytearray:
    """Brackets within brackets."""
    at, depth = random.randrange(len(content) + 1), random.choice((10, 1000, 50_000))
    return content[:at] + random.choice((b"[", b'{"a":', b"(")) * depth + content[at:]


CALAMITIES = (flip, flip, flip, cut, splice, claim, nest)


def resealed(path: Path, random: random.Random) -> bytes:
    """A file whose header or arrays say something else, under a checksum that agrees."""
    header, arrays = unpack(path)
    header.pop("checksum")
    for _ in range(random.randint(1, 3)):
        if random.random() < 0.3:
            name = random.choice(sorted(arrays))
            arrays |= other_arrays(name, arrays.pop(name), random)
        else:
            change(header, random)
    return pack(header, {name: np.asarray(array, order="C") for name, array in arrays.items()}, path.suffix)


def other_arrays(name: str, array: np.ndarray, random: random.Random) -> dict[str, np.ndarray]:
    """Something else in an array's place, or nothing, or it under another name."""
    flat = array.flatten()
    spoiled = flat.copy()
    if len(spoiled):
        odd = random.choice((-1, 0, 100))
        spoiled[random.randrange(len(spoiled))] = np.array(odd).astype(flat.dtype) if flat.dtype.kind in "iu" else np.nan
    others = (flat[:-1], flat[:0], array.astype(float), array.astype(np.uint8), array[None], spoiled.reshape(array.shape))
    return random.choice(({}, {f"{name}.more": array}, *({name: other} for other in others)))


def change(node: Any, random: random.Random) -> None:
    """One value somewhere inside becomes another."""
    node, key = random.choice(list(places(node)))
    odd = [None, True, "", "x" * 10_000, "../../x", [], {}, [[]], 0.5, float("inf"), float("nan"), -1.0, 1e300, *NUMBERS]
    node[key] = random.choice(odd)


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every value inside, as the container that holds it and its key there."""
    for key in list(node) if isinstance(node, dict) else range(len(node)):
        yield node, key
        if isinstance(node[key], dict | list):
            yield from places(node[key])


def resume(path: Path) -> None:
    """All but the training."""
    state = load_state(path)
    config = resumed_config(state, {})
    directory = RunDirectory(path.parent, path.with_name("model.safetensors")).with_model(state.model_path)
    prepare_run(config, directory, state, Progress(), set()).restore(state)


def load(path: Path) -> None:
    """As the file's name says."""
    if path.suffix == ".toml":
        resolve(asked_values({}, str(path)))
    elif path.name == "state.safetensors":
        resume(path)
    elif path.suffix in (".bin", ".json"):
        kept = read_entry(path.parent)
        if kept is None:
            raise UserError("what the cache keeps is damaged, and made anew")
        kept.part("train")[:100].sum()
    else:
        restore(load_model(path))


def mutant(folder: Path, number: int, place: Path) -> Path:
    """Mutant `number`, written to `place`."""
    chance = random.Random(number)
    original = chance.choice(sorted(path for path in folder.iterdir() if path.is_file()))
    if original.suffix in (".safetensors", ".pth") and chance.random() < 0.4:
        content = resealed(original, chance)
    else:
        content = mutate(original.read_bytes(), chance)
    target = place / original.name
    if original.suffix in (".bin", ".json"):  # a cache entry is two files
        for sibling in (folder / "ids.bin", folder / "meta.json"):
            (place / sibling.name).write_bytes(sibling.read_bytes())
    target.write_bytes(content)
    return target


def watched(load: Callable[[Path], None], path: Path) -> str:
    """What came of loading: "loaded", "refused", or what must not happen."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    try:
        load(path)
        ended = "loaded"
    except UserError as error:
        ended = "refused" if str(error).strip() and "\n" not in str(error) else f"no sentence: {str(error)[:200]!r}"
    except Exception as error:
        ended = f"traceback: {type(error).__name__}: {str(error)[:200]}"
    if time.perf_counter() - began > LONGEST_S:
        ended = f"slow: {time.perf_counter() - began:.1f} s"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    if grown > 2 * path.stat().st_size + ALLOWANCE:
        ended = f"memory: {grown:,} bytes for a file of {path.stat().st_size:,}"
    return ended


def main(folder: Path, first: int, last: int) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    np.seterr(all="ignore")
    for path in sorted(folder.iterdir()):  # whatever loads lazily is loaded now
        if path.is_file():
            load(path)
    doing: list[str] = []
    watching = False

    copies = folder.parent / f"copies-{first}"  # a .pth is read from a temporary copy
    copies.mkdir()
    tempfile.tempdir = str(copies)
    allowed = (str(cache_dir()), str(copies))  # the first is where a text's ids are kept

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if not watching or (arguments and str(arguments[0]).startswith(allowed)):
            return
        if event.startswith(FORBIDDEN) or (event == "open" and set(str(arguments[1])) & set("wax+")):
            doing.append(f"{event} {arguments!r}"[:200])

    sys.addaudithook(audit)
    place = folder.parent / f"mutant-{first}"
    place.mkdir()
    ends: Counter[str] = Counter()
    bad: list[str] = []
    for number in range(first, last):
        print(number, file=sys.stderr, flush=True)  # the last one told is the one that crashed
        path = mutant(folder, number, place)
        watching = True
        ended = watched(load, path)
        watching = False
        if doing:
            ended = f"did {doing.pop()}"
        ends[ended if ended in ("loaded", "refused") else "bad"] += 1
        if ended not in ("loaded", "refused"):
            bad.append(f"mutant {number} of {path.name}: {ended}")
    bad += [f"left {path.name}" for path in copies.iterdir()]
    print(json.dumps({"ends": ends, "bad": bad}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
