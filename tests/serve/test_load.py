"""Many at once, those who leave, those who read slowly, full queues, and the end."""

import asyncio
import json
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from serve.running import Running, running

import letterwise


async def streamed(client: httpx.AsyncClient, url: str, asked: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The text of a stream, and its last event."""
    text, last = "", {}
    async with client.stream("POST", f"{url}/v1/completions", json={**asked, "stream": True}) as answer:
        assert answer.status_code == 200, await answer.aread()
        async for line in answer.aiter_lines():
            if line.startswith("data: {"):
                last = json.loads(line[6:])
                text += last["choices"][0]["text"] if "choices" in last else ""
    assert line == "" or line == "data: [DONE]"
    return text, last


def mixed(k: int) -> dict[str, Any]:
    """One of many requests: prompts, lengths, samplers, constraints and penalties differ."""
    asked: dict[str, Any] = {"prompt": ("The ", "The cat", "The dog sat", "")[k % 4], "seed": k, "max_tokens": 10 + k % 23}
    kinds: tuple[dict[str, Any], ...] = (
        {}, {"temperature": 0.7}, {"top_k": 5}, {"regex": "[a-z .T]*"}, {"frequency_penalty": 0.3}, {"charset": "The cat.\n"},
        {"min_p": 0.05, "top_p": 0.9}, {"must_contain": ["mat"], "max_tokens": 60},
    )  # fmt: skip
    return asked | kinds[k % len(kinds)]


def from_python(model: letterwise.LanguageModel, asked: dict[str, Any]) -> str:
    options = {name: value for name, value in asked.items() if name not in ("prompt", "seed", "max_tokens")}
    return model.generate(asked["prompt"], num_tokens=asked["max_tokens"], rng_seed=asked["seed"], **options)


def posted(asked: dict[str, Any]) -> bytes:
    """The bytes of a request."""
    body = json.dumps(asked).encode()
    head = "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: "
    return f"{head}{len(body)}\r\n\r\n".encode() + body


def test_200_streams_are_each_what_they_are_alone(server: Running, tiny: letterwise.LanguageModel) -> None:
    async def ask() -> list[tuple[str, dict[str, Any]]]:
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(limits=limits, timeout=120) as client:
            return await asyncio.gather(*(streamed(client, server.url, mixed(k)) for k in range(200)))

    for k, (text, last) in enumerate(asyncio.run(ask())):
        assert text == from_python(tiny, mixed(k)), mixed(k)
        assert last["choices"][0]["finish_reason"] in ("length", "stop")
    server.until("letterwise_active", 0)


def test_who_leaves_frees_the_place(server: Running) -> None:
    before = server.metric("letterwise_characters_total")
    asked = {"prompt": "The ", "max_tokens": 10_000, "frequency_penalty": 0.1}  # character by character: it takes a while
    for stream in (True, False):
        with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as connection:
            connection.sendall(posted({**asked, "stream": stream, "n": 8}))
            server.until("letterwise_active", 8)
        server.until("letterwise_active", 0)
    assert server.metric("letterwise_characters_total") - before < 2 * 8 * 10_000


def test_a_slow_reader_holds_nobody_up(server: Running) -> None:
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", int(server.url.rpartition(":")[2])))
        slow.sendall(posted({"max_tokens": 10_000, "stream": True, "n": 20, "logprobs": 5}))  # and reads nothing
        server.until("letterwise_active", 20)
        answer = httpx.post(f"{server.url}/v1/completions", json={"prompt": "The ", "max_tokens": 50})
        assert answer.status_code == 200
    server.until("letterwise_active", 0)


def test_time_ends_a_text(server: Running) -> None:
    asked = {"prompt": "The ", "max_tokens": 10_000, "timeout": 0.2, "frequency_penalty": 0.1}
    answer = httpx.post(f"{server.url}/v1/completions", json=asked).json()
    [choice] = answer["choices"]
    assert (choice["finish_reason"], choice["ended"]) == ("length", "time")
    assert 0 < len(choice["text"]) < 10_000


@pytest.fixture
def narrow(tiny, tmp_path: Path):
    """A server with room for two texts, and a queue of two."""
    tiny.save(tmp_path / "tiny.safetensors")
    with running(tmp_path, "--model_path", "tiny.safetensors", "--max_rows", "2", "--max_queue", "2", "--grace", "3") as server:
        yield server


LONG = {"prompt": "The ", "max_tokens": 10_000, "frequency_penalty": 0.1, "stream": True}


async def until(server: Running, name: str, value: int, tasks: Sequence[asyncio.Future[Any]]) -> None:
    """Wait until a metric has reached a value. Fails where all requests have ended before that: then it never will."""
    while server.metric(name) < value:
        assert not all(task.done() for task in tasks), f"{name} was never seen at {value}"
        await asyncio.sleep(0.005)


def test_a_full_queue_says_when_to_try_again(narrow: Running) -> None:
    async def ask() -> list[httpx.Response]:
        async with httpx.AsyncClient(timeout=120) as client:
            held = [asyncio.ensure_future(streamed(client, narrow.url, LONG)) for _ in range(4)]
            await until(narrow, "letterwise_queue", 2, held)
            refused = [await client.post(f"{narrow.url}/v1/completions", json={"max_tokens": 5}) for _ in range(3)]
            for task in held:
                task.cancel()
            await asyncio.gather(*held, return_exceptions=True)
            return refused

    for answer in asyncio.run(ask()):
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert "waiting for their turn" in answer.json()["error"]["message"]
    narrow.until("letterwise_active", 0)
    assert httpx.post(f"{narrow.url}/v1/completions", json={"max_tokens": 5}).status_code == 200


def test_a_signal_lets_finish_what_runs(narrow: Running) -> None:
    async def ask() -> tuple[str, dict[str, Any]]:
        async with httpx.AsyncClient(timeout=120) as client:
            asked = {"prompt": "The ", "max_tokens": 5_000, "frequency_penalty": 0.1, "seed": 1}
            task = asyncio.ensure_future(streamed(client, narrow.url, asked))
            await until(narrow, "letterwise_active", 1, [task])
            narrow.process.send_signal(signal.SIGTERM)
            return await task

    text, last = asyncio.run(ask())
    assert (len(text), last["choices"][0]["finish_reason"]) == (5_000, "length")
    assert narrow.process.wait(120) == 0


def test_what_does_not_finish_is_told(narrow: Running) -> None:
    async def ask() -> list[tuple[str, dict[str, Any]]]:
        async with httpx.AsyncClient(timeout=120) as client:
            asked = {**LONG, "max_tokens": 10_000, "must_contain": ["The cat sat on the mat. The dog"], "regex": None}
            tasks = [asyncio.ensure_future(streamed(client, narrow.url, asked)) for _ in range(4)]
            await until(narrow, "letterwise_queue", 2, tasks)
            narrow.process.send_signal(signal.SIGINT)
            return await asyncio.gather(*tasks, return_exceptions=True)

    ends = asyncio.run(ask())
    assert narrow.process.wait(120) == 0
    for end in ends:
        if isinstance(end, AssertionError):  # it waited, and was never begun
            assert "503" in str(end) or "stopping" in str(end)
        else:
            text, last = end
            assert last.get("error", {}).get("code") == "stopping" or len(text) == 10_000
