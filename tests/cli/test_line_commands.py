"""Lines on the command line: a model of lines is trained, resumed, shown, and writes new names."""

import json
from pathlib import Path

import pytest
from in_process import ask, refused

SMALL = (
    "--n_layer", 1, "--n_embd", 16, "--n_head", 2, "--block_size", 16, "--batch_size", 4, "--max_iters", 12,
    "--warmup_iters", 1,
)  # fmt: skip


@pytest.fixture(scope="module")
def run(line_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "lines"
    done = ask("train", "--lines", "--input_file", line_file, "--out", out, *SMALL)
    assert done.code == 0, done.stderr
    assert "lines to learn" in done.stderr
    assert "--lines 10 --unique --new" in done.stdout
    return out


def test_new_names_are_new(run: Path, line_file: Path) -> None:
    model, known = run / "model.safetensors", set(line_file.read_text().split("\n"))
    asked = ("generate", "--model_path", model, "--lines", 25, "--unique", "--new", "--rng_seed", 3)
    done = ask(*asked)
    assert done.code == 0, done.stderr
    lines = done.stdout.removesuffix("\n").split("\n")
    assert len(lines) == len(set(lines)) == 25
    assert not set(lines) & known
    told = json.loads(ask(*asked, "--json").stdout)
    assert told["lines"] == lines
    assert told["candidates"] == 25 + told["known"] + told["repeated"] + told["unfinished"]
    assert f"25 lines from {told['candidates']} candidates" in done.stderr


def test_less_than_was_asked_for_is_an_error_after_all_there_is(run: Path) -> None:
    done = ask(
        "generate", "--model_path", run / "model.safetensors", "--lines", 99, "--unique", "--num_tokens", 2, "--rng_seed", 1
    )
    lines = done.stdout.split()
    assert 0 < len(lines) == len(set(lines)) < 50
    assert max(len(line) for line in lines) <= 2
    assert done.code == 2
    assert f"letterwise: {len(lines)} lines from 1," in done.stderr
    assert "none of the last 1,000 was wanted" in done.stderr


def test_resume_finds_the_same_lines_again(run: Path, line_file: Path) -> None:
    done = ask("train", "--resume", "--out", run, "--max_iters", 14, "--json")
    assert json.loads(done.stdout)["iters"] == 14, done.stderr
    assert "this run has lines=True" in refused("train", "--resume", "--lines", "false", "--out", run)


def test_inspect_and_plan_know_of_lines(run: Path, line_file: Path) -> None:
    model = run / "model.safetensors"
    assert "lines of " in ask("inspect", "--model_path", model).stdout
    assert json.loads(ask("inspect", "--model_path", model, "--json").stdout)["config"]["data"]["lines"] is True
    plan = ask("plan", "--lines", "--input_file", line_file, "--minutes", 0.1, "--json", "--counts_order", 3)
    assert json.loads(plan.stdout)["values"]["block_size"] == 16


@pytest.mark.parametrize(
    ("words", "about"),
    [
        (("--unique",), "--unique chooses among lines: say how many with --lines N"),
        (("--new",), "--new chooses among lines"),
        (("--lines", "3", "--num_samples", "2"), "leave out --num_samples"),
        (("--lines", "3", "--until_line"), "leave out --until_line"),
        (("--lines", "0"), "--lines 0 must be from 1 to 1,000,000,000"),
        (("--lines", "x"), "'x' is not a whole number"),
        (("--lines", "2", "--greedy"), "--greedy writes one line, always the same"),
    ],
)
def test_what_makes_no_sense_is_refused(run: Path, words: tuple[str, ...], about: str) -> None:
    assert about in refused("generate", "--model_path", run / "model.safetensors", *words)
