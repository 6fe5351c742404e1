"""Dying: a run whose process is killed at its Nth call to the file system, for every N, and then resumed.

    python dying.py FOLDER SHARE REST        prints a line of JSON for each N with N % SHARE == REST

Each life is a process of its own: forked, so that nothing needs importing again, and killed with SIGKILL, so that nothing is
tidied up. A write is two places to die: with half of it written, and with all.
"""

import io
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runs import SHAPE, essence, text_file

from letterwise.training import validation
from letterwise.training.prepare import train
from letterwise.training.trainer import Trainer

FLAGS = {**SHAPE, "preset": "classic", "max_iters": 12, "eval_interval": 6, "save_interval": "4"}
validation.SAMPLE_CHARS = 20
CALLS = ("fsync", "replace", "unlink", "mkdir")


class Death:
    """Counts calls, and kills the process right after the one it is for."""

    def __init__(self, at: int, told: int) -> None:
        self.at, self.told, self.calls, self.step = at, told, 0, 0

    def call(self, name: str) -> None:
        """One more; perhaps the last."""
        self.calls += 1
        if self.calls == self.at:
            os.write(self.told, json.dumps({"call": name, "step": self.step}).encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def lay_in_wait(self, folder: Path) -> None:
        """From now on, every call that changes something under `folder` counts."""
        for name in CALLS:
            self._follow(name)
        real_open = io.open

        def opened(path: Any, mode: str = "r", *more: Any, **options: Any) -> Any:
            file = real_open(path, mode, *more, **options)
            if mode != "xb" or not str(path).startswith(str(folder)):
                return file
            self.call(f"open {Path(path).name.split('.tmp')[0]}")
            return Written(file, self)

        io.open = opened
        take_step = Trainer.take_step

        def counted(trainer: Trainer, check: Callable[[], None]) -> None:
            take_step(trainer, check)
            self.step = trainer.run.step

        Trainer.take_step = counted

    def _follow(self, name: str) -> None:
        real = getattr(os, name)

        def followed(*arguments: Any, **options: Any) -> Any:
            done = real(*arguments, **options)
            self.call(f"{name} {Path(str(arguments[0])).name.split('.tmp')[0]}")
            return done

        setattr(os, name, followed)


class Written:
    """A file whose writes can be cut short."""

    def __init__(self, file: Any, death: Death) -> None:
        self.file, self.death = file, death

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> "Written":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def write(self, content: bytes) -> int:
        """In two halves."""
        half = len(content) // 2
        self.file.write(content[:half])
        self.file.flush()
        self.death.call("half a write")
        self.file.write(content[half:])
        self.file.flush()
        self.death.call("write")
        return len(content)


def life(out: Path, text: Path, at: int) -> dict[str, Any] | None:
    """A life that ends at call `at`; where it was then, or None when it came to its own end."""
    told, tell = os.pipe()
    child = os.fork()
    if not child:
        os.close(told)
        death = Death(at, tell)
        death.lay_in_wait(out)
        try:
            resume = any(out.glob("state*.safetensors"))
            train({} if resume else {**FLAGS, "input_file": (str(text),)}, out=str(out), resume=resume)
            os._exit(0)
        except BaseException as error:
            os.write(tell, json.dumps({"error": repr(error)}).encode())
            os._exit(1)
    os.close(tell)
    with open(told, "rb") as pipe:
        content = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0:
        return None
    return json.loads(content)


def main(folder: Path, share: int, rest: int) -> None:
    text = text_file(folder)
    train({**FLAGS, "input_file": (str(text),)}, out=str(folder / "whole"))  # here, so that all is imported once
    wanted, at = essence(folder / "whole"), rest or share
    while True:
        out = folder / f"killed-{at}"
        where = life(out, text, at)
        if where is None:
            break
        if "error" in where:  # it died of something else, and would again at every call
            print(json.dumps({"at": at, **where}), flush=True)
            break
        from letterwise.checkpoint.training_state import load_state

        kept = load_state(out / "state.safetensors").step if any(out.glob("state*.safetensors")) else None
        after = life(out, text, 0)
        same = after is None and essence(out) == wanted
        left = sorted(path.name for path in out.glob("*.tmp-*"))
        print(json.dumps({"at": at, **where, "kept": kept, "after": after, "same": same, "left": left}), flush=True)
        at += share


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
