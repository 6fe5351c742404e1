"""Verbs: each figure is that of the Python interface, over the wire; what cannot be is a sentence, and never a 500."""

import html
import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from serve.running import Running

from letterwise.api import LanguageModel
from letterwise.comparison.runs_folder import list_runs, read_rows
from letterwise.serve.config import PlaceConfig, ServeConfig
from letterwise.serve.library import Library
from letterwise.serve.metrics import Metrics
from letterwise.serve.verbs import attention, embedding, inspect, lens, next_character, novelty, runs, score
from letterwise.serve.verbs.answers import AT_ONCE, Answer, finite, in_json

ROOT = Path(__file__).parents[2]
TEXT = "The cat sat on the log.\nThe öwl sat. <script>alert(1)</script> The dog sat on the mat. "


def post(server: Running, verb: str, kind: type[Answer] | None = None, **asked: Any) -> dict[str, Any]:
    """The answer; with `kind`, just what that class says it holds."""
    return checked(httpx.post(f"{server.url}/api/{verb}", json=asked), kind)


def get(server: Running, path: str, kind: type[Answer] | None = None, **asked: Any) -> dict[str, Any]:
    return checked(httpx.get(f"{server.url}{path}", params=asked), kind)


def checked(response: httpx.Response, kind: type[Answer] | None) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    if kind:
        kind.model_validate_json(response.text)
    return response.json()


def test_next(server: Running, tiny: LanguageModel) -> None:
    found = post(server, "next", next_character.NextAnswer, text="The ", temperature=0.7, top_k=3, penalty_window=9, shown=6)
    wanted = tiny.next_characters("The ", n=6, temperature=0.7, top_k=3)
    assert found["model"] == "tiny"
    assert found["entropy_bits"] == pytest.approx(wanted.entropy_bits)
    assert len(found["next"]) == 6
    for mine, theirs in zip(found["next"], wanted.likeliest, strict=True):
        assert mine == pytest.approx(vars(theirs))
    assert sum(each["drawn"] > 0 for each in found["next"]) == 3
    greedy = post(server, "next", text="The ", temperature=0, stop=["x"], regex="[a-z]*", charset=None)["next"]
    assert [each["drawn"] for each in greedy] == [1.0] + 9 * [0.0]
    biased = post(server, "next", text="The ", logit_bias={"5": 30}, exclude="c")["next"]
    assert max(biased, key=lambda each: each["drawn"])["id"] == 5
    assert [each["drawn"] for each in biased if each["character"] == "c"] == [0.0]
    assert post(server, "next", text="", unknown="skip")["entropy_bits"] == pytest.approx(math.log2(17))
    assert post(server, "next", text="The ö", unknown="skip") == post(server, "next", text="The ")


@pytest.mark.parametrize("protocol", [None, "blocks", "sliding"])
def test_score(server: Running, tiny: LanguageModel, protocol: str | None) -> None:
    asked = {} if protocol is None else {"protocol": protocol}
    found = post(server, "score", score.ScoreAnswer, text=TEXT, alternatives=2, **asked)
    wanted = tiny.score_characters(TEXT, protocol=protocol or "eighth")
    np.testing.assert_allclose(np.array(found["bits"], float), wanted.bits, atol=1e-3)
    np.testing.assert_allclose(np.array(found["probabilities"], float), 2.0**-wanted.bits, atol=1e-3)
    assert [rank or 0 for rank in found["ranks"]] == wanted.ranks.tolist()
    assert found["bits"][0] is None is found["alternatives"][0]
    assert (found["unknown"], found["chars"]) == (wanted.unknown, len(TEXT) - 1)
    assert found["total_bits"] == pytest.approx(wanted.total_bits, rel=1e-5)
    assert found["bits_per_char"] == pytest.approx(wanted.total_bits / (len(TEXT) - 1), rel=1e-5)
    assert found["counting_bits_per_char"] == pytest.approx(wanted.counting_bits / (len(TEXT) - 1), rel=1e-5)
    for mine, theirs in zip(found["alternatives"], wanted.alternatives, strict=True):
        assert [character for character, _ in mine or []] == [character for character, _ in theirs[:2]]
        assert [p for _, p in mine or []] == pytest.approx([p for _, p in theirs[:2]], abs=1e-4)
    assert "".join(TEXT[line["start"] : line["start"] + line["chars"]] for line in found["lines"]) == TEXT
    assert math.fsum(line["bits"] for line in found["lines"]) == pytest.approx(found["total_bits"])
    assert post(server, "score", text=TEXT, alternatives=0)["alternatives"] == [None] * len(TEXT)


def test_score_by_a_model_of_bytes_and_one_of_lines(
    server: Running, byte_model: LanguageModel, tiny_lines: LanguageModel
) -> None:
    text = "The öwl\r\nsat. 😀"
    found = post(server, "score", score.ScoreAnswer, model="bytes", text=text)
    np.testing.assert_allclose(
        np.array(found["bits"], float), byte_model.score_characters(text, protocol="eighth").bits, atol=1e-3
    )
    assert len(found["bits"]) == len(text) == found["chars"] + 1
    assert "\ufffd" in {character for some in found["alternatives"] for character, _ in some or []} | {"\ufffd"}
    found = post(server, "score", score.ScoreAnswer, model="lines", text="bake\r\nlomi\n")
    assert [place for place, bits in enumerate(found["bits"]) if bits is None] == [4]
    wanted = tiny_lines.score_characters("bake\nlomi\n", protocol="eighth")
    assert found["total_bits"] == pytest.approx(wanted.total_bits, rel=1e-5)


def test_attention(server: Running, tiny: LanguageModel, tiny_lines: LanguageModel) -> None:
    text = "The cat sat on the log. The öwl sat on the mat."
    found = post(server, "attention", attention.AttentionAnswer, text=text)
    seen = text.replace("ö", "")[-32:]
    assert "".join(found["characters"]) == seen
    assert found["start"] == text.index(seen[:6])
    wanted = tiny.attention(seen).numpy()
    assert (found["layers"], found["heads"]) == wanted.shape[:2] == (2, 2)
    for mine, theirs in zip(found["weights"], wanted, strict=True):
        for head, weights in zip(mine, theirs, strict=True):
            assert [len(row) for row in head] == [*range(1, 33)]
            for i, row in enumerate(head):
                np.testing.assert_allclose(row, weights[i, : i + 1], atol=1e-4)
    last = post(server, "attention", model="lines", text="bake\nlomi\nnu")
    assert (last["start"], "".join(last["characters"])) == (9, "\nnu")
    np.testing.assert_allclose(last["weights"][0][0][2], tiny_lines.attention("\nnu")[0, 0, 2], atol=1e-4)


@pytest.mark.parametrize("text", ["ö" * 30, "a" + "😀" * 20, "öa"])
def test_what_is_in_view_of_a_model_of_bytes_begins_with_a_whole_character(server: Running, text: str) -> None:
    found = post(server, "attention", attention.AttentionAnswer, model="bytes", text=text)
    assert len(found["characters"]) == len(text[found["start"] :].encode()) <= 16
    assert found["characters"].count("\ufffd") == len(found["characters"]) - text[found["start"] :].count("a")


def test_lens(server: Running, tiny: LanguageModel) -> None:
    found = post(server, "lens", lens.LensAnswer, text="The cat sat", top_k=2)
    wanted = tiny.lens("The cat sat").double().softmax(-1)
    assert found["layers"] == ["embedding", "block 1", "output"]
    assert found["characters"] == list("The cat sat")
    for mine, theirs in zip(found["guesses"], wanted, strict=True):
        for guesses, chances in zip(mine, theirs, strict=True):
            best = chances.sort(descending=True)
            assert [p for _, p in guesses] == pytest.approx(best.values[:2].tolist(), abs=1e-4)
            assert guesses[0][0] == tiny.vocabulary.characters[best.indices[0]]
    assert found["guesses"][-1][-1][0][0] == post(server, "next", text="The cat sat")["next"][0]["character"]
    assert len(post(server, "lens", text="The", top_k=20)["guesses"][0][0]) == 17


def test_embedding(server: Running, tiny: LanguageModel, byte_model: LanguageModel) -> None:
    found = get(server, "/api/embedding", embedding.EmbeddingAnswer)
    assert "".join(point["character"] for point in found["points"]) == tiny.vocabulary.characters
    np.testing.assert_allclose([(point["x"], point["y"]) for point in found["points"]], tiny.embedding_map().points, atol=1e-6)
    assert found["explained"] == pytest.approx(tiny.embedding_map().explained)
    found = get(server, "/api/embedding", model="bytes")
    assert [point["character"] for point in found["points"][126:130]] == ["~", "\x7f", "\ufffd", "\ufffd"]


def test_inspect(server: Running, tiny: LanguageModel) -> None:
    found = get(server, "/api/inspect", inspect.InspectAnswer)
    assert found["params"] == sum(part["params"] for part in found["parts"]) == tiny.params
    assert found["parts"] == [vars(part) for part in tiny.parts()]
    assert found["history"] == tiny.history
    assert "animals.txt (fingerprint" in found["facts"]["learned from"]
    assert "/" not in found["facts"]["learned from"]
    assert get(server, "/v1/models")["data"][0]["letterwise"]["text"] == "animals.txt"
    assert {part["file"] for part in found["parts"]} <= {*found["files"]}
    for name in found["files"]:
        answer = httpx.get(f"{server.url}/source/{name}")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.text == (ROOT / "letterwise/model" / name).read_text()
        page = httpx.get(f"{server.url}/source/{name}", headers={"Accept": "text/html,*/*;q=0.8"})
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert html.escape(answer.text) in page.text
        assert '<a href="/#inside">' in page.text


@pytest.mark.parametrize(
    "name", ["secret.py", "../config/knob.py", "..%2fconfig%2fknob.py", "%2e%2e/errors.py", "a\0b", "__init__.py"]
)
def test_no_other_file_is_shown(server: Running, name: str) -> None:
    assert httpx.get(f"{server.url}/source/{name.replace(chr(0), '%00')}").status_code == 404


def test_novelty(server: Running, tiny: LanguageModel) -> None:
    text = "My cat sat on the mat. The dog, the öwl sat on the sill. The "
    found, wanted = post(server, "novelty", novelty.NoveltyAnswer, text=text), tiny.novelty(text)
    assert found["shares"] == {str(length): share for length, share in wanted.shares.items()}
    longest = wanted.longest
    assert found["longest"] == {"start": longest.start, "length": longest.chars, "text": longest.text}
    runs = [(run["start"], run["start"] + run["length"]) for run in found["runs"]]
    assert runs == tiny.verbatim_runs(text)
    assert len(runs) == 3  # two of them overlap
    assert post(server, "novelty", novelty.NoveltyAnswer, text="öÖ") | {"shares": 0} == {
        "model": "tiny", "shares": 0, "longest": None, "runs": [],
    }  # fmt: skip


def test_runs(server: Running, tiny: LanguageModel) -> None:
    found = get(server, "/api/runs", runs.RunsAnswer)["runs"]
    (run,) = list_runs(tiny.run_dir.parent)
    assert [each["name"] for each in found] == [run.name] == ["tiny"]
    assert found[0]["state"] == run.state
    assert found[0]["best_nats"] == tiny.history[-1]["val_nats_per_char"]
    assert found[0]["model"] is None  # the name belongs to a copy that was named with --model_path
    rows = read_rows(tiny.run_dir.parent, "tiny").rows
    assert get(server, "/api/runs/tiny/rows", runs.RowsAnswer) == {"rows": rows, "next": len(rows), "state": run.state}
    assert get(server, "/api/runs/tiny/rows", since=len(rows) - 1)["rows"] == rows[-1:]
    assert get(server, "/api/runs/tiny/rows", since=10**6) == {"rows": rows, "next": len(rows), "state": run.state}


def test_a_run_names_its_model(tiny: LanguageModel) -> None:
    config = ServeConfig(PlaceConfig(runs=str(tiny.run_dir.parent)))
    library = Library(config, Metrics())
    (run,) = json.loads(runs.listed(library))["runs"]
    assert [run["model"]] == [*library.paths()] == ["tiny"]
    library.close()


@pytest.mark.parametrize("name", ["nobody", "..", "../run", "%2e%2e%2ftiny", "%2fetc", "%00", "%ff", "<script>", "a" * 5000])
def test_there_is_no_such_run(server: Running, name: str) -> None:
    answer = httpx.get(f"{server.url}/api/runs/{name}/rows")
    assert 400 <= answer.status_code < 500
    assert answer.json()["error"]["message"]


HOSTILE: dict[str, list[Any]] = {
    "text": [None, 1, ["a"], {}, "x" * 100_001, "\ud800", "<script>", "\0", "\u202e", "😀" * 500, ""],
    "model": [1, ["tiny"], "nobody", "../tiny", "tiny.safetensors", "a" * 2000, "\0", "\udc80", "<b>"],
    "surprise": [1],
}
OF_VERB = {
    "next": {"shown": [0, -1, 1001, 1.5, "3", None], "temperature": [-1, "hot", [1]], "top_p": [0, 2], "top_k": [-1, 1.5],
             "logit_bias": [{"x": 1}, {"999": 1}, {"1": "a"}], "unknown": ["perhaps"], "charset": ["ö", 3],
             "repetition_penalty": [0]},
    "score": {"protocol": ["online", 1, None], "alternatives": [-1, 6, 1.5, "5"]},
    "attention": {"unknown": ["score", 1]},
    "lens": {"top_k": [0, 21, 2.5, "3"], "unknown": ["score"]},
    "novelty": {},
}  # fmt: skip


@pytest.mark.parametrize("verb", OF_VERB)
def test_what_is_hostile_is_refused_with_a_sentence(server: Running, verb: str) -> None:
    """Or answered, where it is just a text: never a 500, and never without words."""
    for name, values in (HOSTILE | OF_VERB[verb]).items():
        for value in values:
            body = json.dumps({"text": "The cat", name: value}).encode()
            answer = httpx.post(f"{server.url}/api/{verb}", content=body, headers={"content-type": "application/json"})
            said = f"{verb} {name}={value!r:.40}: {answer.status_code} {answer.text[:200]}"
            if answer.status_code == 200:
                assert name == "text" or (verb, name, value) == ("next", "charset", None), said
                assert isinstance(value, str), said
                continue
            assert 400 <= answer.status_code < 500, said
            error = answer.json()["error"]
            assert error["message"].endswith((".", "?", "…")), said
            assert len(error["message"]) < 500, said
            assert error["param"] in (name, "unknown", None), said


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"text"', b'{"text": "a"} x', b"\xff\xfe", b'{"text": NaN}', b"[" * 5000]
)
@pytest.mark.parametrize("verb", ["score", "lens"])
def test_what_is_no_request(server: Running, verb: str, body: bytes) -> None:
    answer = httpx.post(f"{server.url}/api/{verb}", content=body, headers={"content-type": "application/json"})
    assert 400 <= answer.status_code < 500
    assert answer.json()["error"]["message"]


def test_texts_that_have_nothing_to_show(server: Running) -> None:
    for verb, text, sentence in (
        ("novelty", "", "text is empty"), ("attention", "ööö", "no character in it that this model knows"),
        ("lens", "", "no character in it"), ("score", "a", "nothing to predict"),
    ):  # fmt: skip
        answer = httpx.post(f"{server.url}/api/{verb}", json={"text": text})
        assert answer.status_code == 400
        assert sentence in answer.json()["error"]["message"]


def test_long_lists_are_spelled_as_json_spells_them() -> None:
    for depth in range(3):
        answer = {"a": [[[n, "é\n", None]] for n in range(2 * AT_ONCE + 1)], "b": {"c": [1.5]}, "d": [], "e": "\ud800"}
        assert json.loads(in_json(answer, depth)) == answer | {"e": "\ufffd"}
    assert in_json({"x": [1, 2]}) == b'{"x":[1,2]}'
    assert finite({"a": [math.nan, {"b": -math.inf}, 1.0, "NaN"]}) == {"a": [None, {"b": None}, 1.0, "NaN"]}


def test_many_at_once_are_answered_as_each_alone(server: Running) -> None:
    """Threads share a model: what one looks at, no other sees."""
    texts = ["The cat sat on", "dog", "The owl sat on the sill. The", "mat. The log"]
    asked = [(verb, {"text": text}) for verb in ("next", "attention", "lens", "score", "novelty") for text in texts]
    alone = [post(server, verb, **body) for verb, body in asked]
    with ThreadPoolExecutor(16) as threads:
        together = list(threads.map(lambda one: post(server, one[0], **one[1]), 3 * asked))
    assert together == 3 * alone
