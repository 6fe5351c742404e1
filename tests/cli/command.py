"""The real command line, as a person runs it: a process of its own, with files of the system as stdin and stdout."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from forked import started

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def letterwise(*arguments: object, stdin: bytes | None = None, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    """Run `letterwise ARGUMENTS`; stdout and stderr as text, undamaged. Where no byte is given, stdin is at its end."""
    words = list(map(str, arguments))
    with started(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd) as process:
        out, err = (content.decode("utf-8", "surrogateescape") for content in process.communicate(stdin, timeout=1800))
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def started_by_python(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    """The same by a Python of its own, with some variables of the environment."""
    words = [sys.executable, "-m", "letterwise", *map(str, arguments)]
    variables = {**os.environ, **ENVIRONMENT, **environment}
    return subprocess.run(words, capture_output=True, text=True, cwd=ROOT, env=variables, check=False)


@contextmanager
def running(*arguments: object, stdin: int = subprocess.PIPE) -> Generator[subprocess.Popen]:
    """`letterwise ARGUMENTS` while it runs; it ends with the block. Ctrl-C reaches it, even where these tests ignore it."""
    with subprocess.Popen(
        [sys.executable, "-m", "letterwise", *map(str, arguments)],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, **ENVIRONMENT},
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # a job in the background ignores it, and so do its own
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def refused(*arguments: object, **options) -> str:
    """The one sentence with which a wrong request is refused."""
    done = letterwise(*arguments, **options)
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("letterwise: "), done.stderr
    return last.removeprefix("letterwise: ")
