"""A real server in a process of its own, as people start it."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

START_S = 300.0


@dataclass
class Running:
    """A server that listens at `url`; what it says on stderr goes into the file `log`."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def metric(self, name: str) -> float:
        """A figure of /metrics, summed over its labels."""
        text = httpx.get(f"{self.url}/metrics").text
        found = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        assert found, f"no {name} in {text}"
        return sum(map(float, found))

    def logged(self, answer: httpx.Response) -> dict:
        """The line of the access log (`--log_json`) about an answer: it is written after the answer has left."""
        end = time.monotonic() + 120
        while time.monotonic() < end:
            whole = [line for line in self.log.read_text().splitlines(keepends=True) if line.endswith("\n")]
            for row in map(json.loads, (line for line in whole if line.startswith("{"))):
                if row["id"] == answer.headers["x-request-id"]:
                    return row
            time.sleep(0.02)
        raise AssertionError(f"no line for {answer.url} in {self.log.read_text()}")

    def until(self, name: str, value: float, seconds: float = 120.0) -> None:
        """Wait until a figure has a value."""
        end = time.monotonic() + seconds
        while (now := self.metric(name)) != value:
            assert time.monotonic() < end, f"{name} is {now}, not {value}"
            time.sleep(0.02)


@contextmanager
def running(folder: Path, *flags: str, env: dict[str, str] | None = None) -> Iterator[Running]:
    """`letterwise serve` with these flags, at any free port, in a folder; ready when it is given, and killed at the end."""
    log = folder / f"serve-{time.monotonic_ns()}.log"
    command = [sys.executable, "-m", "letterwise", "serve", "--port", "0", *flags]
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    with log.open("wb") as err:
        process = subprocess.Popen(command, stderr=err, cwd=folder, env={**os.environ, "PYTHONPATH": path, **(env or {})})
    try:
        server = Running(process, address(process, log), log)
        while httpx.get(f"{server.url}/readyz").status_code != 200:
            time.sleep(0.05)
        yield server
    finally:
        process.kill()
        process.wait()


def address(process: subprocess.Popen[bytes], log: Path) -> str:
    """The address that a server says it listens at."""
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if found := re.match(r"http://\S+", log.read_text()):
            return found[0]
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(f"no address after {START_S:g} seconds: {log.read_text()}")
