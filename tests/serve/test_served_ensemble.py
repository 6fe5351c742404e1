"""An ensemble is served like any model: many streams at once, each as it is alone; what looks inside says what it cannot."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import openai
import pytest
from serve.running import running

from letterwise import LanguageModel
from letterwise.checkpoint.ensemble import combined


@pytest.fixture(scope="module")
def ensemble(tiny: LanguageModel) -> LanguageModel:
    return LanguageModel(combined([tiny.file] * 3, [0.6, 0.2, 0.1]), "cpu")


def test_streams_of_an_ensemble_and_what_looks_inside(ensemble: LanguageModel, tmp_path: Path) -> None:
    ensemble.save(tmp_path / "all.safetensors")
    with running(tmp_path, "--model_path", "all.safetensors") as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none")

        def streamed(seed: int) -> str:
            asked = {"model": "all", "prompt": "The ", "max_tokens": 20 + seed, "seed": seed, "stream": True}
            return "".join(piece.choices[0].text for piece in client.completions.create(**asked))

        with ThreadPoolExecutor(8) as pool:
            texts = list(pool.map(streamed, range(8)))
        assert texts == [ensemble.generate("The ", num_tokens=20 + seed, rng_seed=seed) for seed in range(8)]
        told = httpx.get(f"{server.url}/api/inspect").json()
        assert told["params"] == sum(part["params"] for part in told["parts"]) == ensemble.params
        assert told["facts"]["ensemble"].startswith("3 members: 0.6 × ")
        assert httpx.get(f"{server.url}/v1/models").json()["data"][0]["letterwise"]["params"] == ensemble.params
        looks = [httpx.post(f"{server.url}/api/{verb}", json={"text": "The cat"}) for verb in ("attention", "lens")]
        for answer in (*looks, httpx.get(f"{server.url}/api/embedding")):
            assert answer.status_code == 400
            assert "takes a single model, and this is an ensemble" in answer.text
        scored = httpx.post(f"{server.url}/api/score", json={"text": "The cat sat."})
        assert scored.status_code == 200
