"""Serve: many streams at once against the same requests one after another, and memory over thousands of requests.

    python -m benchmarks.serve

A model of size nano, hardly trained: what is written does not matter to speed. The server is a process of its own, and so is
the client, which takes little of the processors that both share. Each text is compared with that of the same request alone.
"""

import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import letterwise
from benchmarks.record import flags, record
from letterwise.serve.program import run_loop

SHAPE = dict(n_layer=4, n_head=4, n_embd=128, block_size=128)
STREAMS, ALONE, REQUESTS = 200, 40, 10_000
CHARS = {"short": 100, "plain": 300, "mixed": 300}  # short: all of it fits the context
PROMPTS = ("The ", "And so ", "It was ")
KINDS: dict[str, list[dict[str, Any]]] = {
    "short": [{}],
    "plain": [{}],
    "mixed": [
        {}, {"temperature": 0.7, "top_p": 0.9}, {"regex": "[a-z ,.]*"}, {"frequency_penalty": 0.2}, {"min_p": 0.05},
        {"charset": "abcdefghijklmnopqrstuvwxyz ,.\n"}, {"top_k": 8, "repetition_penalty": 1.2}, {"must_contain": ["the"]},
    ],
}  # fmt: skip


def main() -> None:
    asked = flags(__doc__ or "").parse_args()
    with served(asked.text) as (port, pid):
        for kind in KINDS:
            for _ in range(asked.rounds):
                figures = run_loop(both(port, kind))
                record(asked.append, benchmark="serve", contender=kind, streams=STREAMS, **SHAPE, **figures)
        record(asked.append, benchmark="serve", contender="memory", **run_loop(memory(port, pid)))


@contextmanager
def served(text: Path | None) -> Generator[tuple[int, int]]:
    """The port and process id of a server that is ready, with a model of a text that was trained for a few steps."""
    with tempfile.TemporaryDirectory() as workplace:
        path = Path(workplace, "run")
        letterwise.train(text, out=path, progress=False, max_iters=5, eval_chars=1000, **SHAPE)
        command = [sys.executable, "-m", "letterwise", "serve", "--model_path", path, "--port", "0"]
        process = subprocess.Popen([str(word) for word in command], stderr=subprocess.PIPE, text=True)
        assert process.stderr
        port = int(re.findall(r":(\d+) ", process.stderr.readline())[0])
        log = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)  # nobody reads on
        try:
            ready(port)
            yield port, process.pid
        finally:
            process.terminate()
            log.terminate()


def request(k: int, kind: str, chars: int | None = None) -> dict[str, Any]:
    """One of many, each a little different."""
    some = KINDS[kind]
    return {
        "prompt": PROMPTS[k % len(PROMPTS)],
        "max_tokens": chars or CHARS[kind],
        "seed": k,
        "stream": True,
        **some[k % len(some)],
    }


def ready(port: int) -> None:
    """Wait until a server is."""
    while True:
        try:
            urlopen(f"http://127.0.0.1:{port}/readyz").close()
            return
        except HTTPError:  # 503
            time.sleep(0.1)


class Answer(asyncio.Protocol):
    """The bytes of an answer, and when its first character came."""

    def __init__(self, request: bytes) -> None:
        self.request, self.parts, self.first = request, list[bytes](), 0.0
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if not self.first and b'"text"' in data:
            self.first = time.perf_counter()
        self.parts.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.over.set_result(None)

    @property
    def text(self) -> str:
        """All of it."""
        events = re.findall(rb"data: (\{.*\})", b"".join(self.parts))
        return "".join(json.loads(event)["choices"][0]["text"] for event in events)


async def one(port: int, k: int, kind: str, chars: int | None = None) -> tuple[float, Answer]:
    """Seconds to the first character of a request, and its answer."""
    body = json.dumps(request(k, kind, chars)).encode()
    head = "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nConnection: close\r\n"
    asked, begun = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body, time.perf_counter()
    _, answer = await asyncio.get_running_loop().create_connection(lambda: Answer(asked), "127.0.0.1", port)
    await answer.over
    return answer.first - begun, answer


async def both(port: int, kind: str) -> dict[str, Any]:
    """All at once, and some of them one after another."""
    begun = time.perf_counter()
    together = await asyncio.gather(*(one(port, k, kind) for k in range(STREAMS)))
    seconds = time.perf_counter() - begun
    begun = time.perf_counter()
    alone = [await one(port, k, kind) for k in range(ALONE)]
    seconds_alone = time.perf_counter() - begun
    texts, texts_alone = [answer.text for _, answer in together], [answer.text for _, answer in alone]
    assert texts[:ALONE] == texts_alone, "a text depends on its company"
    firsts = sorted(first for first, _ in together)
    fast, slow = sum(map(len, texts)) / seconds, sum(map(len, texts_alone)) / seconds_alone
    return {
        "chars_per_second": round(fast),
        "chars_per_second_one_by_one": round(slow),
        "ratio": round(fast / slow, 2),
        "first_char_p50": round(statistics.median(firsts), 3),
        "first_char_p99": round(firsts[int(0.99 * STREAMS)], 3),
        "first_char_alone": round(statistics.median(first for first, _ in alone), 4),
    }


async def memory(port: int, pid: int) -> dict[str, Any]:
    """Megabytes after a thousand requests, and after ten thousand."""
    sizes, done = {}, 0
    for target in (1000, REQUESTS):
        while done < target:
            await asyncio.gather(*(one(port, done + k, "mixed", 20) for k in range(50)))
            done += 50
        sizes[f"megabytes_after_{target}"] = round(resident(pid) / 1e6, 1)
    return sizes


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
