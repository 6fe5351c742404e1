"""Compare: the figures are the runs' own, the knobs that differ are told, and different characters never pass for equal."""

import json
import math
import re
import shutil
from pathlib import Path

import pytest
from in_process import ask

from letterwise.comparison.runs import compare
from letterwise.training.prepare import train

SMALL = dict(
    n_layer=1, n_embd=16, n_head=2, block_size=16, batch_size=2, max_iters=4, eval_interval=2, warmup_iters=1, counts_order=0,
    val_fraction=0.4,
)  # fmt: skip


@pytest.fixture(scope="module")
def made(text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Runs that differ in one way each."""
    home = tmp_path_factory.mktemp("compared")
    kinds = {
        "plain": {}, "quick": {"learning_rate": 0.1, "n_layer": 2}, "short": {"block_size": 8},
        "part": {"eval_chars": 100}, "short-part": {"eval_chars": 100, "block_size": 8}, "split": {"val_fraction": 0.3},
    }  # fmt: skip
    results = {
        name: train({"input_file": (str(text_file),), **SMALL, **knobs}, out=str(home / name)) for name, knobs in kinds.items()
    }
    return {"home": home, **results}


def test_figures_and_differences(made) -> None:
    answer = ask("compare", made["home"] / "plain", made["quick"].model_path, "--json")
    assert answer.code == 0, answer
    told = json.loads(answer.stdout)
    for run, result in zip(told["runs"], (made["plain"], made["quick"]), strict=True):
        assert run["best_val_nats_per_char"] == result.best_val_nats_per_char
        assert run["best_val_bits_per_char"] == pytest.approx(result.best_val_nats_per_char / math.log(2), rel=1e-12)
        assert run["val_chars_scored"] == result.val_chars_scored
        assert run["params"] == result.params
        assert run["iters"] == result.iters == 4
        assert run["chars_seen"] == result.chars_seen
    assert told["differences"] == {"n_layer": [1, 2], "learning_rate": [0.01, 0.1]}
    assert told["same_characters"] is True
    shown = ask("compare", made["home"] / "plain", made["quick"].model_path).stdout
    assert f"{made['plain'].best_val_nats_per_char:.4f}" in shown
    assert "All figures come from the same characters." in shown
    lines = [line.split() for line in shown.split("knobs that differ")[1].splitlines()[1:]]
    assert lines == [["n_layer", "1", "2"], ["learning_rate", "0.01", "0.1"]]


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (("plain", "quick"), [0, 0]),
        (("plain", "short"), [0, 0]),  # all of the text is scored, in whatever windows
        (("plain", "part"), [0, 1]),
        (("part", "short-part"), [0, 1]),  # every so many windows, of another length
        (("plain", "split", "quick"), [0, 1, 0]),
    ],
)
def test_other_characters_are_told(names: tuple[str, ...], groups: list[int], made) -> None:
    comparison = compare([made[name].run_dir for name in names])
    assert comparison.groups == groups
    shown = ask("compare", *(made[name].run_dir for name in names)).stdout
    assert ("Do not compare these figures" in shown) == (max(groups) > 0)
    assert ("(B)" in shown) == (max(groups) > 0)
    assert comparison.to_json()["same_characters"] == (max(groups) == 0)


def test_all_validations_are_read_where_they_belong_to_the_model(made, tmp_path: Path) -> None:
    shutil.copytree(made["plain"].run_dir, tmp_path / "run")
    whole = compare([str(tmp_path / "run"), str(tmp_path / "run/model.safetensors")]).runs
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [run.metrics for run in whole] == [rows, rows]
    assert [row["step"] for row in whole[0].rows] == [2, 4]
    for damage in ("", "no JSON", '{"step": "NaN"}', "[" * 100_000, (made["home"] / "quick/metrics.jsonl").read_text()):
        (tmp_path / "run/metrics.jsonl").write_text(damage)
        (run, _) = compare([str(tmp_path / "run")] * 2).runs
        assert run.rows[-1] == run.best
        assert run.nats == made["plain"].best_val_nats_per_char


def test_what_is_no_run_is_a_sentence(made, tmp_path: Path) -> None:
    (tmp_path / "many/seed-1").mkdir(parents=True)
    run = made["plain"].run_dir
    for names, said in (
        ([run], "name two or more"), ([], "required: RUN"), ([run, tmp_path / "none"], "there is no model file"),
        ([run, tmp_path], "holds no model"), ([run, tmp_path / "many"], "its runs are"), ([run, ""], "a run is empty"),
        ([run, __file__], "test_comparison"), ([run, "x" * 5000], ""), ([run, "/"], "holds no model"), ([run, "\0"], "NUL"),
    ):  # fmt: skip
        assert said in ask("compare", *names).sentence


def test_the_page_holds_every_curve_and_asks_for_nothing(made, tmp_path: Path) -> None:
    names = [made[name].run_dir for name in ("plain", "quick", "split")]
    done = ask("compare", *names, "--html", tmp_path / "page.html")
    assert done.code == 0, done
    shown = (tmp_path / "page.html").read_text()
    (data,) = re.findall(r'<script type="application/json" id="runs">(.*?)</script>', shown)
    runs, drawn = compare(names).runs, json.loads(data)["runs"]
    assert [run["name"] for run in drawn] == [f"{run.name} ({group})" for run, group in zip(runs, "AAB", strict=True)]
    for run, figures in zip(runs, drawn, strict=True):
        rows = [dict(zip(some["keys"], row, strict=True)) for some in figures["rows"] for row in some["rows"]]
        nats = [row["val_nats_per_char"] for row in rows if row["kind"] is None]
        assert nats == pytest.approx([row["val_nats_per_char"] for row in run.rows], abs=1e-4)
    assert "Do not compare these figures" in shown
    assert not re.search(r"https?://(?!www.w3.org/2000/svg)", shown)
    assert len(shown) < 100_000


def test_a_name_is_text_on_the_page(made, tmp_path: Path) -> None:
    strange = tmp_path / "<b>&amp;\x1b"
    shutil.copytree(made["plain"].run_dir, strange)
    assert ask("compare", strange, made["plain"].run_dir, "--html", tmp_path / "page.html").code == 0
    shown = (tmp_path / "page.html").read_text()
    assert "<b>" not in shown
    assert "&lt;b&gt;&amp;amp;" in shown
    assert "\x1b" not in ask("compare", strange, strange).stdout
