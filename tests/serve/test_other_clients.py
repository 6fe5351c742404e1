"""Two other clients that people have: curl, and `llm` (a command line for models of many kinds)."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from serve.running import Running

import letterwise


def test_curl(server: Running, tiny: letterwise.LanguageModel) -> None:
    if not shutil.which("curl"):
        pytest.skip("there is no curl on this machine")
    asked = json.dumps({"prompt": "The cat", "max_tokens": 20, "seed": 6, "stream": True})
    command = ["curl", "-sN", f"{server.url}/v1/completions", "-H", "Content-Type: application/json", "-d", asked]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout
    events = [line.removeprefix("data: ") for line in said.splitlines() if line]
    assert events[-1] == "[DONE]"
    text = "".join(json.loads(event)["choices"][0]["text"] for event in events[:-1])
    assert text == tiny.generate("The cat", num_tokens=20, rng_seed=6)


@pytest.mark.parametrize("way", ["chat", "completion"])
def test_llm(server: Running, tiny: letterwise.LanguageModel, tmp_path: Path, way: str) -> None:
    pytest.importorskip("llm", reason="another client: pip install llm")
    kind = "  completion: true\n" if way == "completion" else ""
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- model_id: ours\n  model_name: tiny\n  api_base: {server.url}/v1\n  api_key_name: none\n{kind}"
    )
    command = [
        sys.executable,
        "-m",
        "llm",
        "-m",
        "ours",
        "The cat",
        "-o",
        "temperature",
        "0",
        "-o",
        "max_tokens",
        "25",
        "--no-log",
    ]
    env = {"LLM_USER_PATH": str(tmp_path), "PATH": "/usr/bin:/bin", "OPENAI_API_KEY": "-", "NONE": "-"}
    (tmp_path / "keys.json").write_text('{"none": "-"}')
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=600)
    assert done.returncode == 0, done.stderr
    prompt = "The cat\n" if way == "chat" else "The cat"
    assert done.stdout.removesuffix("\n") == tiny.generate(prompt, num_tokens=25, greedy=True, unknown="skip")
