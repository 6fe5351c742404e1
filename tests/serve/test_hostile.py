"""A thousand requests that nobody should send: each is answered with a sentence, none with 500, and the server goes on."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serve.running import Running, running

QUIET = settings(deadline=None, suppress_health_check=list(HealthCheck))
ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["\0", "\u202e", "<script>", "a" * 9999]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def guarded(tiny, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that gives no request long."""
    folder = tmp_path_factory.mktemp("hostile")
    tiny.save(folder / "tiny.safetensors")
    with running(folder, "--model_path", "tiny.safetensors", "--max_seconds", "5", "--max_tokens", "500") as server:
        yield server


def test_the_schema_is_true(guarded: Running, tmp_path: Path) -> None:
    """Schemathesis reads the schema, and makes up requests that fit it and requests that do not."""
    pytest.importorskip("schemathesis", reason="it makes up requests: pip install schemathesis")
    program = Path(sys.executable).with_name("schemathesis")
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance," + (
        "response_schema_conformance,negative_data_rejection,unsupported_method"
    )
    command = [program, "run", f"{guarded.url}/openapi.json", "--checks", checks, "--max-examples", "20", "--no-color"]
    command += ["--suppress-health-check", "all", *(["--generation-deterministic"] if "CI" in os.environ else [])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=1800)
    assert done.returncode == 0, done.stdout[-4000:]
    generated = re.search(r"([\d,]+) generated, ([\d,]+) passed", done.stdout)
    assert generated, done.stdout[-1000:]
    assert int(generated[1].replace(",", "")) > 500


FIELDS = (
    "model", "prompt", "max_tokens", "temperature", "top_p", "n", "stop", "stream", "logprobs", "echo", "seed", "logit_bias",
    "regex", "json_schema", "grammar", "charset", "must_contain", "timeout", "messages", "response_format",
)  # fmt: skip
BODIES = st.dictionaries(st.sampled_from(FIELDS), ANY, max_size=4)


@settings(parent=QUIET, max_examples=120)
@given(
    path=st.sampled_from(["completions", "chat/completions"]), body=st.dictionaries(st.sampled_from(FIELDS), ANY, max_size=4)
)
def test_any_values_in_any_fields(guarded: Running, path: str, body: dict) -> None:
    answer = httpx.post(f"{guarded.url}/v1/{path}", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 400, 404), (body, answer.text)
    if answer.status_code != 200:
        assert answer.json()["error"]["message"].endswith((".", "?", "!", "…", "]"))


@pytest.mark.parametrize(
    "asked",
    [
        {"regex": "a{1000000}"},
        {"regex": "(a?){3000}a{3000}"},
        {"regex": "(((((a*)*)*)*)*)*b"},
        {"grammar": 'start: start start | "a"'},
        {"json_schema": {"$ref": "#"}},
        {"json_schema": {"$ref": "file:///etc/passwd"}},
        {"json_schema": {"$ref": "http://127.0.0.1:1/"}},
        {"json_schema": {"type": "array", "minItems": 10**9}},
        {"json_schema": {"type": "string", "pattern": "(a|b|c){0,5000}"}},
        {"must_contain": ["The cat"] * 64},
        {"penalty_window": 10_000_000, "repetition_penalty": 1.5},
        {"logit_bias": {str(i): 1e308 for i in range(17)}},
        {"temperature": 1e-300},
        {"temperature": 1e300},
        {"stop": ["The cat sat on the mat" * 40] * 64},
        {"prompt": ["The "] * 64},
        {"prompt": [[0] * 1000] * 64},
    ],
)
def test_expensive_wishes_end_in_time(guarded: Running, asked: dict) -> None:
    answer = httpx.post(f"{guarded.url}/v1/completions", json={"prompt": "The ", "max_tokens": 500, **asked})
    assert answer.status_code in (200, 400), answer.text
    assert httpx.get(f"{guarded.url}/healthz").text == "ok"
