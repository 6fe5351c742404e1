"""Commands: stdout carries the result and nothing else; --help is instant. What needs a process of its own has one."""

import json
import math
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command import ROOT, letterwise, running, started_by_python
from in_process import ask, refused

from letterwise.cli.main import COMMANDS
from letterwise.training.planning import plan

SMALL = (
    "--n_layer",
    1,
    "--n_embd",
    16,
    "--n_head",
    2,
    "--block_size",
    16,
    "--batch_size",
    4,
    "--max_iters",
    12,
    "--warmup_iters",
    1,
)


@pytest.mark.parametrize("command", [*COMMANDS, ""])
def test_help_is_instant_and_needs_no_torch(command: str) -> None:
    words = [command, "--help"] if command else ["--help"]
    probe = (
        "import sys, letterwise.cli as c\ntry: c.main(sys.argv[1:])\nexcept SystemExit: pass\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", probe, *words], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage: letterwise" in done.stdout


def test_help_tells_the_presets_defaults() -> None:
    shown = started_by_python("train", "--preset", "classic", "--help", COLUMNS="200").stdout
    assert re.search(r"--norm_order.*\n?.*default: post", shown)
    assert "--val-fraction" not in shown  # one spelling is shown; both are accepted


def test_version() -> None:
    assert re.fullmatch(r"letterwise \d+\.\d+\.\d+\n", started_by_python("--version").stdout)


@pytest.mark.parametrize("form", ["safetensors", "pth"])
def test_train_then_generate_by_the_root_scripts(text_file: Path, tmp_path: Path, form: str) -> None:
    model = tmp_path / f"trained_model.{form}"
    train = [sys.executable, "train.py", "--input_file", text_file, "--model_path", model, *SMALL]
    done = subprocess.run([*map(str, train)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.search(r"python\S* generate\.py --model_path", done.stdout)
    assert {p.name for p in (tmp_path / "trained_model").iterdir()} == {
        ".lock",
        "state.safetensors",
        "state.previous.safetensors",
        "metrics.jsonl",
        "report.html",
    }
    generate = [sys.executable, "generate.py", "--model_path", model, "--seed", "The cat", "--num_tokens", 100]
    done = subprocess.run([*map(str, generate)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("The cat")
    assert len(done.stdout) == len("The cat") + 100
    assert done.stderr == ""


def test_train_json_and_metrics(text_file: Path, tmp_path: Path) -> None:
    done = ask("train", "--input-file", text_file, "--out", tmp_path / "o", *SMALL, "--eval_interval", 5, "--json")
    result = json.loads(done.stdout)  # one line, nothing else
    assert done.stdout.count("\n") == 1
    assert {"model_path", "run_dir", "iters", "chars_seen", "train_seconds", "best_val_nats_per_char", "val_nats_per_char",
            "params"} <= result.keys()  # fmt: skip
    assert result["iters"] == 12
    assert result["chars_seen"] == 12 * 4 * 16
    rows = [json.loads(line) for line in (tmp_path / "o/metrics.jsonl").read_text().splitlines()]
    validations = [row for row in rows if "kind" not in row]
    assert [row["step"] for row in validations] == [0, 5, 10, 12]
    assert [row["step"] for row in rows if row.get("kind") == "training"] == list(range(1, 13))
    assert result["best_val_nats_per_char"] == min(row["val_nats_per_char"] for row in validations)


def test_evaluate_agrees_with_training(text_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    trained = json.loads(ask("train", "--input_file", text_file, "--out", out, *SMALL, "--json").stdout)
    for more in ([], ["--input_file", text_file, "--split", "val"]):
        score = json.loads(ask("evaluate", "--model_path", out / "model.safetensors", *more, "--json").stdout)
        assert score["nats_per_char"] == pytest.approx(trained["best_val_nats_per_char"], abs=1e-6)
        assert score["bits_per_char"] == pytest.approx(score["nats_per_char"] / math.log(2), rel=1e-12)
        assert (score["protocol"], score["context"]) == ("blocks", 16)
    whole = json.loads(ask("evaluate", "--model_path", out / "model.safetensors", "--input_file", text_file, "--json").stdout)
    assert whole["chars"] == len(text_file.read_text()) - 1


def test_generate_json(tiny) -> None:
    done = ask("generate", "--model_path", tiny.run_dir / "model.safetensors", "--prompt", "The owl", "--num_tokens", 20,
                      "--num_samples", 2, "--rng_seed", 7, "--stop", "zzz", "--json")  # fmt: skip
    answer = json.loads(done.stdout)
    assert answer["prompt"] == "The owl"
    assert [len(sample["text"]) for sample in answer["samples"]] == [20, 20]
    assert answer["samples"][1]["text"] == tiny.generate("The owl", num_tokens=20, rng_seed=8)


def test_a_seed_may_begin_with_a_dash(tiny) -> None:
    done = letterwise("generate", "--model_path", tiny.run_dir / "model.safetensors", "--seed", "--The", "--num_tokens", 3,
                      "--unknown", "skip")  # fmt: skip
    assert done.stdout.startswith("--The")
    assert len(done.stdout) == 8


def test_a_reader_that_closes_early_does_no_harm(tiny) -> None:
    command = (
        f"{sys.executable} -m letterwise generate --model_path {tiny.run_dir}/model.safetensors --seed The --num_tokens 3000"
    )
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | head -c 10"], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 0
    assert len(done.stdout) == 10
    assert done.stderr == b""


def test_an_interrupted_text_ends_quietly(tiny) -> None:
    """What was written before Ctrl-C is there, the exit code says interrupted, and nothing else is said."""
    model = tiny.run_dir / "model.safetensors"
    with running("generate", "--model_path", model, "--seed", "The", "--num_tokens", 100_000_000) as process:
        assert process.stdout.read(20).startswith(b"The")  # it is writing
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert set(rest.decode()) <= set(tiny.vocabulary.characters)
    assert errors == b""


def test_generate_under_a_constraint(tiny, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "array", "items": {"const": 1}, "minItems": 2}')
    lark = tmp_path / "twice.lark"
    lark.write_text('start: WORD " " WORD "."\nWORD: "cat" | "owl"\n')
    model = ("generate", "--model_path", tiny.run_dir / "model.safetensors", "--seed", "The ", "--rng_seed", 1)
    for flags, pattern in (
        (("--regex", "-?(cat|dog) sat"), "(cat|dog) sat"),
        (("--regex", "(cat|dog)+", "--must-contain", "gdog", "--num_samples", 2, "--max_seconds", 60), None),
        (("--grammar", lark), r"(cat|owl) (cat|owl)\."),
        (
            ("--charset", "act ", "--exclude", "t", "--num_tokens", 30, "--logit_bias", "c=-2", "--logit_bias", "a=1.5"),
            "[ac ]{30}",
        ),
        (("--until_line", "--must_contain", "dog", "--must_contain", "sat", "--num_tokens", 6), "dogsat|satdog"),
        (("--beam", 2, "--num_tokens", 3), "..."),
    ):
        answer = json.loads(ask(*model, *flags, "--json").stdout)
        for sample in answer["samples"]:
            assert pattern is None or re.fullmatch(pattern, sample["text"]), (flags, sample)
            assert pattern or "gdog" in sample["text"]
            assert sample["ended"] in ("length", "match")
    said = ask(*model, "--regex", "cat", "--num_samples", 2)
    assert said.stdout == "The cat\n---------------\nThe cat"
    assert refused(*model, "--json_schema", schema).endswith("but the model has never seen ',1[]'.")
    assert "'1_'" in refused(*model, "--must_contain", "1_")
    assert "--num_samples" in refused(*model, "--beam", 2, "--num_samples", 2)
    assert "like e=-2" in refused(*model, "--logit_bias", "e")
    assert "'x' is not a number" in refused(*model, "--logit_bias", "e=x")


def test_text_from_stdin_in_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 20
    done = letterwise("train", "--input_file", "-", "--vocab", "byte", "--out", tmp_path / "o", *SMALL, stdin=data)
    assert done.returncode == 0, done.stderr
    done = letterwise("generate", "--model_path", tmp_path / "o/model.safetensors", "--seed", "ab", "--num_tokens", 50)
    assert len(done.stdout.encode("utf-8", "surrogateescape")) == 52
    done = letterwise("evaluate", "--model_path", tmp_path / "o/model.safetensors", "--json")
    assert json.loads(done.stdout)["chars"] == 511


def test_inspect(tiny) -> None:
    shown = ask("inspect", "--model_path", tiny.run_dir / "model.safetensors").stdout
    assert "animals.txt" in shown
    assert f"{tiny.params:,}" in shown
    told = json.loads(ask("inspect", "--model_path", tiny.run_dir / "model.safetensors", "--json").stdout)
    assert told["vocabulary"]["characters"] == tiny.vocabulary.characters
    assert told["params"] == sum(math.prod(shape) for shape in told["weights"].values())


def test_plan_says_what_train_would_choose_and_trains_nothing(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plan, "measured_flops", lambda *_: 1e10)
    flags = ("--input_file", text_file, "--minutes", 0.5, "--n_layer", 3)
    said = ask("plan", *flags)
    assert "plan for 0.5 minutes: 3 layers" in said.stdout
    told = json.loads(ask("plan", *flags, "--json").stdout)
    assert told["config"]["model"]["n_layer"] == 3
    assert "n_layer" not in told["values"]
    assert told["config"]["model"]["n_embd"] == told["values"]["n_embd"]
    assert list(tmp_path.iterdir()) == []
    assert ask("plan", "--input_file", text_file).stderr.endswith("a plan needs to know how long to train: give --minutes.\n")


def test_evaluate_shows_counting_alone_beside_the_model(text_file: Path, tmp_path: Path) -> None:
    for name, order in (("with", 3), ("without", 0)):
        out = tmp_path / name
        ask("train", "--input_file", text_file, "--out", out, *SMALL, "--counts_order", order)
        told = ask("evaluate", "--model_path", out / "model.safetensors").stdout
        assert re.search(r"counting alone: \d\.\d{4} bits; this model: \d\.\d{4}\n$", told), told
