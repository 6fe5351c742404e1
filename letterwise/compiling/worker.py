"""Worker: a process that compiles what it is asked for, one function after another, while this one goes on.

    ask(module, name, kinds) ──stdin──▶ worker: compiles, keeps on disk ──stdout──▶ Job.over (and the entry, if it was not kept)

It ends when all is done that was asked for, even if that is after this process: the next start finds it compiled. Of workers of
several processes one compiles at a time, and the others then find it kept.
"""

import contextlib
import importlib
import json
import os
import pickle
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator
from typing import Any

from letterwise.compiling import store
from letterwise.compiling.arguments import Kinds

POSSIBLE = os.name == "posix" and bool(sys.executable) and not getattr(sys, "frozen", False)
PROGRAM = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from letterwise.compiling import worker; worker.serve()"


class Job:
    """A function that is being compiled."""

    over = False  # the worker has ended, or is done with this one
    entry = b""  # what it compiled, where that could not be kept on disk


class Worker:
    """The process, and what it was asked for."""

    current: "Worker | None" = None

    def __init__(self) -> None:
        pipes: dict[str, Any] = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        command = [sys.executable, "-c", PROGRAM, json.dumps([os.path.abspath(path) for path in sys.path])]
        # in a session of its own: Ctrl-C is not for it
        self.process: Any = subprocess.Popen(command, start_new_session=True, **pipes)
        self.parent, self.jobs = os.getpid(), deque[Job]()
        threading.Thread(target=self._listen, name="letterwise-compiling", daemon=True).start()

    def ask(self, request: bytes) -> Job:
        """Have it compile something more."""
        job = Job()
        self.jobs.append(job)
        try:
            self.process.stdin.write(request)
            self.process.stdin.flush()
        except (OSError, ValueError):  # it has died, or is closed: nobody listens any more
            job.over = True
        return job

    def _listen(self) -> None:
        """Note what is done, until the process ends."""
        with self.process:
            with contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):  # whoever asked compiles it then
                while True:
                    entry = pickle.load(self.process.stdout)
                    job = self.jobs.popleft()
                    job.entry, job.over = entry, True
            self.process.kill()  # it is ending, or its output is damaged
        for job in self.jobs:
            job.over = True


def ask(module: str, name: str, kinds: Kinds) -> Job:
    """Have a module's function compiled for arguments of these kinds."""
    try:
        if Worker.current is None or Worker.current.parent != os.getpid() or Worker.current.process.poll() is not None:
            Worker.current = Worker()
        return Worker.current.ask(pickle.dumps((module, name, kinds)))
    except (OSError, pickle.PicklingError):
        job = Job()
        job.over = True
        return job


def serve() -> None:
    """In the worker: compile what is asked for, until nobody asks any more."""
    with contextlib.suppress(EOFError, BrokenPipeError):  # who asked has ended
        while True:
            module, name, kinds = pickle.load(sys.stdin.buffer)
            found = getattr(importlib.import_module(module), name)
            entry = getattr(found, "alone", found)
            with one_at_a_time():
                entry.code_for(kinds)
            pickle.dump(entry.unkept, sys.stdout.buffer)
            sys.stdout.buffer.flush()


@contextlib.contextmanager
def one_at_a_time() -> Generator[None]:
    """While no other process of this user's does it; if nothing can be kept, all at once."""
    import fcntl  # not on Windows, where nobody calls this

    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # nothing can be kept
            store.folder().mkdir(mode=0o700, parents=True, exist_ok=True)
            file = stack.enter_context(open(store.folder() / "lock", "ab"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
