"""Own files: run directories, model files and caches are never input; a folder of texts often holds the runs that learned it.

a folder ──files_in──▶ the files below it, and what of ours was left out
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from letterwise.compiling.store import folder as compiled_code
from letterwise.machine import cache_dir

RUN_FILES = (  # training/run_directory
    "state.safetensors", "state.previous.safetensors", "metrics.jsonl", "report.html", "written.npy",
    ".launch", ".lock", ".model_path", ".tracking",
)  # fmt: skip
RUN_FOLDERS = re.compile(r"shards-[0-9a-f]{8}|tensorboard|wandb")  # checkpoint/shards, training/metrics/trackers
MODEL_ENDINGS = (".safetensors", ".pth")
CACHED_TEXT = {"ids.bin", "meta.json"}
CACHE_FOLDERS = ("streams", "datasets")  # what the cache folder has in it, where it is the text's own folder
LONGEST_HEADER = 100_000_000  # bytes: that of a safetensors file


def files_in(folder: Path, left_out: list[Path]) -> Iterator[Path]:
    """Every file below a folder but hidden and our own ones, which go to `left_out`. Links to folders are not followed.

    Of a folder that is a run directory itself, only the run's files and folders are left out.
    """
    caches = _caches_below(folder)
    for here, folders, files in os.walk(folder, onerror=_raise):
        place, names = Path(here), set(files)
        ours = _is_run_directory(names)
        if place in caches or names >= CACHED_TEXT or (ours and place != folder):
            folders.clear()
            left_out.append(place)
            continue
        folders[:] = [name for name in folders if not (name.startswith(".") or (ours and RUN_FOLDERS.fullmatch(name)))]
        for name in files:
            if ours and (name in RUN_FILES or name.endswith(MODEL_ENDINGS)):
                left_out.append(Path(here, name))
            elif not name.startswith("."):
                yield Path(here, name)


def is_of_a_run(path: Path) -> bool:
    """Whether a file is one that training wrote into its run directory."""
    if path.name not in RUN_FILES:
        return False
    return _is_run_directory(set(os.listdir(path.parent)))


def is_model_file(path: Path, start: bytes) -> bool:
    """Whether a file that begins with `start` holds weights: safetensors by its content, PyTorch's zip by its ending, too."""
    if path.suffix.lower() == ".pth" and start.startswith(b"PK"):
        return True
    return start[8:10] == b'{"' and int.from_bytes(start[:8], "little") <= LONGEST_HEADER


def _is_run_directory(names: set[str]) -> bool:
    """By what is in it: two of the files that only runs have, or one of them and a model."""
    marks = len(names & set(RUN_FILES))
    return marks > 1 or (marks == 1 and any(name.endswith(MODEL_ENDINGS) and name not in RUN_FILES for name in names))


def _caches_below(folder: Path) -> set[Path]:
    root, cache, code = folder.resolve(), cache_dir().resolve(), compiled_code().resolve()
    ours = {cache / name for name in CACHE_FOLDERS} if cache == root else {cache}
    return {folder / place.relative_to(root) for place in {*ours, code} if root in place.parents}


def _raise(error: OSError) -> None:
    raise error
