"""The real command line, as a person runs it: a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def letterwise(
    *arguments: object, stdin: bytes | None = None, cwd: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess:
    """Run `letterwise ARGUMENTS`; stdout and stderr as text, undamaged."""
    done = subprocess.run(
        [sys.executable, "-m", "letterwise", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env={**os.environ, **ENVIRONMENT, **environment},
        timeout=300,
        check=False,
    )
    done.stdout, done.stderr = done.stdout.decode("utf-8", "surrogateescape"), done.stderr.decode("utf-8", "surrogateescape")
    return done


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
