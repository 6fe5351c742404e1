"""The real command line, as a person runs it: a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def letterwise(
    *arguments: object, stdin: bytes | None = None, cwd: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess:
    """Run `letterwise ARGUMENTS`; stdout and stderr as text, undamaged."""
    done = subprocess.run(
        [sys.executable, "-m", "letterwise", *map(str, arguments)],
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment},
        timeout=300,
        check=False,
    )
    done.stdout, done.stderr = done.stdout.decode("utf-8", "surrogateescape"), done.stderr.decode("utf-8", "surrogateescape")
    return done


def refused(*arguments: object, **options) -> str:
    """The one sentence with which a wrong request is refused."""
    done = letterwise(*arguments, **options)
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("letterwise: "), done.stderr
    return last.removeprefix("letterwise: ")
