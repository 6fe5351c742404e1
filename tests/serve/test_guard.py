"""Who may ask, and how much: names, origins, keys, bodies, slow senders. Real sockets against a real server."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from serve.running import Running, running

from letterwise.errors import UserError
from letterwise.serve import guard, program
from letterwise.serve.config import PlaceConfig

KEY = "correct-horse"


@pytest.fixture(scope="module")
def locked(tiny, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with a key, and tight limits."""
    folder = tmp_path_factory.mktemp("locked")
    tiny.save(folder / "tiny.safetensors")
    flags = ("--api_key", KEY, "--max_body", "2000", "--max_prompt", "50", "--max_tokens", "60", "--log_json")
    with running(folder, "--model_path", "tiny.safetensors", *flags) as server:
        yield server


def port_of(server: Running) -> int:
    return int(server.url.rpartition(":")[2])


def said(answer: httpx.Response) -> str:
    """The sentence of an answer in OpenAI's shape."""
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error["message"]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "", "127.0.0.1.evil.example", "[::", "a b"]
)
def test_another_name_is_not_answered(server: Running, host: str) -> None:
    answer = httpx.get(f"{server.url}/v1/models", headers={"Host": host})
    assert answer.status_code == 421
    assert "this server is not" in said(answer)


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1", "[::1]:80", "192.168.1.7", "LOCALHOST"])
def test_addresses_and_this_machine_are(server: Running, host: str) -> None:
    assert httpx.get(f"{server.url}/v1/models", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1.evil.example", "http://127.0.0.1:1"])
def test_pages_of_others_may_not_ask(server: Running, origin: str) -> None:
    answer = httpx.post(f"{server.url}/v1/completions", json={"max_tokens": 1}, headers={"Origin": origin})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "origin")
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_its_own_page_may(server: Running) -> None:
    answer = httpx.post(f"{server.url}/v1/completions", json={"max_tokens": 1}, headers={"Origin": server.url})
    assert answer.status_code == 200


def test_a_form_of_another_page_cannot_be_json(server: Running) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        headers = {"Content-Type": kind} if kind else {}
        answer = httpx.post(f"{server.url}/v1/completions", content='{"max_tokens": 1}', headers=headers)
        assert answer.status_code == 415
        assert "application/json" in said(answer)


def test_without_the_key_nothing_is_told(locked: Running) -> None:
    for path in ("/v1/models", "/api/runs", "/metrics", "/openapi.json"):
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": f"Basic {KEY}"},
            {"Authorization": "Bearer é"},
        ):
            raw = {name: value.encode() for name, value in headers.items()}
            answer = httpx.get(f"{locked.url}{path}", headers=raw)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), path
            assert "key" in said(answer)
    assert httpx.get(f"{locked.url}/healthz").text == "ok"
    assert httpx.get(f"{locked.url}/").status_code == 200
    assert httpx.get(f"{locked.url}/v1/models", headers={"Authorization": f"Bearer {KEY}"}).json()["data"][0]["id"] == "tiny"


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"prompt": "x" * 2000}, 413, "longer than 2,000 bytes"),
        ({"prompt": "The " * 20}, 400, "too long: this server reads 50"),
        ({"max_tokens": 61}, 400, "this server writes 60"),
        ({"n": 65}, 400, "65 texts"),
    ],
)
def test_limits_are_said(locked: Running, body: dict, status: int, sentence: str) -> None:
    answer = httpx.post(f"{locked.url}/v1/completions", json=body, headers={"Authorization": f"Bearer {KEY}"})
    assert answer.status_code == status
    assert sentence in said(answer)


def test_a_body_without_a_length_is_counted(locked: Running) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 1000

    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    assert httpx.post(f"{locked.url}/v1/completions", content=endless(), headers=headers).status_code == 413


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b'{"prompt": "\xc3"}', b'{"prompt": "\\ud800"}', b"[" * 100_000,
     b'{"max_tokens": NaN}', b'{"max_tokens": 1e400}', b'{"temperature": Infinity}', b'{"prompt": {"a": 1}}', b'{"stop": [1]}',
     b'{"max_tokens": 1' + b"0" * 5000 + b"}", b'{"n": 1.5}', b'{"stream": "yes"}', b'{"prompt": [[1], "a"]}',
     b'{"seed": 1' + b"0" * 300 + b', "max_tokens": 1}'],
)  # fmt: skip
def test_a_body_that_is_none_is_refused(server: Running, content: bytes) -> None:
    answer = httpx.post(f"{server.url}/v1/completions", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 200 if b"seed" in content else 400), answer.text
    if answer.status_code == 400:
        assert len(said(answer)) > 10


def test_slow_senders_lose_their_connection(server: Running) -> None:
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=120) as slow:
        slow.sendall(b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        for _ in range(int(3 * program.HEAD_S)):  # a line now and then, and never the end
            time.sleep(0.7)
            try:
                slow.sendall(b"X-Slow: 1\r\n")
            except OSError:
                break
        else:
            pytest.fail("twice as long as it may, it is still listened to")


def test_garbage_is_no_request(server: Running) -> None:
    for garbage in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"GET\r\n\r\n",
        b"\0" * 100_000,
        b"GET / HTTP/1.1\r\n" + b"A: " + b"x" * 2**17,
    ):
        with socket.create_connection(("127.0.0.1", port_of(server)), timeout=120) as other:
            with_reset = b""
            try:
                other.sendall(garbage)
                other.shutdown(socket.SHUT_WR)
                with_reset = other.recv(100)
            except OSError:
                pass
            assert with_reset == b"" or b" 400 " in with_reset
    assert httpx.get(f"{server.url}/healthz").status_code == 200


def test_a_head_without_end_is_refused_at_once(server: Running) -> None:
    """Who is only late gets no answer."""
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=120) as other:
        other.sendall(b"GET / HTTP/1.1\r\nA: " + b"x" * (program.MAX_HEAD + 1))
        assert b" 400 " in other.recv(1000)


def test_what_a_browser_may_do_is_said(server: Running) -> None:
    headers = httpx.get(server.url).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    for path in (
        "/page/../config.py",
        "/page/%2e%2e/config.py",
        "/page/..%2fconfig.py",
        "/page/config.py",
        "/page//etc/passwd",
    ):
        assert httpx.get(f"{server.url}{path}").status_code == 404, path


def test_the_log_tells_what_happened_and_not_what_was_written(locked: Running) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    asked = {"prompt": "The secret", "max_tokens": 5}
    written = locked.logged(httpx.post(f"{locked.url}/v1/completions", json=asked, headers=headers))
    forged = locked.logged(httpx.get(f"{locked.url}/no%1b[31m/where%0d%0aforged", headers=headers))
    assert {"time", "id", "client", "method", "path", "status", "seconds", "bytes"} == set(written)
    assert (written["path"], forged["status"]) == ("/v1/completions", 404)
    assert "secret" not in locked.log.read_text()
    assert "\x1b" not in locked.log.read_text()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"host": "0.0.0.0"}, "can be reached by others"),
        ({"api_key": ""}, "--api_key is empty"),
        ({"api_key": "a b"}, "printable ASCII"),
        ({"api_key": "a", "no_api_key": True}, "do not go together"),
        ({"port": 70000}, "port=70000 is too large"),
    ],
)
def test_what_is_not_safe_is_not_started(given: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        PlaceConfig(**given)
    assert PlaceConfig(host="0.0.0.0", no_api_key=True).host == "0.0.0.0"
    assert guard.BODY_S <= 60


def test_a_proxy_has_a_name_of_its_own(tiny, tmp_path: Path) -> None:
    tiny.save(tmp_path / "tiny.safetensors")
    with running(tmp_path, "--model_path", "tiny.safetensors", "--allow_host", "letters.example") as server:
        for headers in ({"Host": "letters.example"}, {"Host": "letters.example:443", "Origin": "https://letters.example"},
                        {"Origin": "https://letters.example"}):  # fmt: skip
            assert httpx.get(f"{server.url}/v1/models", headers=headers).status_code == 200
        assert httpx.get(f"{server.url}/v1/models", headers={"Host": "other.example"}).status_code == 421
        assert httpx.get(f"{server.url}/v1/models", headers={"Origin": "https://other.example"}).status_code == 403


def test_every_answer_has_an_id(server: Running) -> None:
    answer = httpx.post(f"{server.url}/v1/completions", json={"max_tokens": 1})
    assert answer.json()["id"] == f"cmpl-{answer.headers['x-request-id']}"
    assert httpx.get(f"{server.url}/nowhere").headers["x-request-id"] != answer.headers["x-request-id"]
