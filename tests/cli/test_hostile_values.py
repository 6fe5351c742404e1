"""Hostile values: every flag of every command takes them, or refuses them in one sentence, in a limited time."""

import contextlib
import os
import random
import shutil
from pathlib import Path

import pytest
from in_process import ask, flags_of, foreign_flags
from made_models import made

from letterwise.cli.flags import Parser, normalized
from letterwise.cli.main import COMMANDS, command_module
from letterwise.errors import UserError

NUMBERS = (
    "0",
    "-1",
    "-0.0",
    "1e20",
    "-1e20",
    "2147483648",
    "9" * 400,
    "9" * 5000,
    "nan",
    "inf",
    "-inf",
    "1e300",
    "1e308",
    "1e-40",
)
WORDS = (
    "",
    "\0",
    "\ud800",
    "\udcff",
    "٣",
    "½",
    "x" * 5000,
    "a/" * 3000,
    "\x1b[31m\x07",
    "%s",
    "{}",
    "-",
    "true",
    "é",
    ".",
    "=",
    "--",
    "T=1e39",
)
LONG = {("--max_iters", "2147483648"), ("--compile", "true")}  # sensible, and long
DRAWN = 2  # values for each flag, in each run of these tests
SMALL = (
    "--n_layer", 1, "--n_embd", 16, "--n_head", 2, "--block_size", 16, "--batch_size", 2, "--max_iters", 2, "--eval_chars", 64,
    "--counts_folds", 2,
)  # fmt: skip


@pytest.fixture
def base(tiny, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[object, ...]]:
    """What makes a request of each command that works, and does little."""
    monkeypatch.setenv("NO_COLOR", "1")
    model = ("--model_path", tiny.run_dir / "model.safetensors")
    text, packed = tmp_path / "t.txt", tmp_path / "packed"
    text.write_text("The cat sat on the mat. ")
    assert ask("compress", *model, "--input_file", text, "--output_file", packed).code == 0
    space = tmp_path / "space.toml"
    few = "".join(f"{str(flag)[2:]} = {value}\n" for flag, value in zip(SMALL[::2], SMALL[1::2], strict=True))
    space.write_text(f"trials = 1\n[fixed]\ninput_file = ['{text_file}']\n{few}[vary]\ndropout = [0.1]")
    theirs = tmp_path / "theirs"
    made("gpt2").export("hf", theirs)
    return {
        "train": ("--input_file", text_file, "--out", "run", "--overwrite", *SMALL),
        "plan": ("--input_file", text_file, *SMALL),
        "sweep": ("--space", space, "--out", "run"),
        "generate": (*model, "--num_tokens", 5),
        "evaluate": (*model, "--input_file", text),
        "score": (*model, "--input_file", text),
        "novelty": (*model, "--input_file", text),
        "compress": (*model, "--input_file", text, "--output_file", "out"),
        "decompress": (*model, "--input_file", packed, "--output_file", "out"),
        "import": (theirs, "--output_file", "out.pth"),
        "inspect": model,
        "compare": (tiny.run_dir, tiny.run_dir),
        "completion": ("bash",),
        "serve": (*model, "--port", 0),
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_a_hostile_value_is_taken_or_refused_in_a_sentence(command: str, base, tmp_path: Path, monkeypatch) -> None:
    draw = random.Random(0 if "CI" in os.environ else None)
    for flag, action in flags_of(command).items():
        if flag == "--help":
            continue
        known = NUMBERS + WORDS if action.nargs != 0 else ("5", "")  # a switch takes no value at all
        known = [value for value in known if (flag, value) not in LONG]
        for value in draw.sample(known, min(DRAWN, len(known))):
            (tmp_path / "here").mkdir()
            monkeypatch.chdir(tmp_path / "here")  # what a value makes is not there for the next
            words = (f"{flag}={value}",) if draw.random() < 0.5 or value.startswith("-") else (flag, value)
            asked = (command, *base.get(command, ()), *words)
            answer = ask(*asked)
            assert answer.code in (0, 2), (asked, answer)
            monkeypatch.chdir(tmp_path)
            shutil.rmtree("here")
            if answer.code == 2:
                assert not foreign_flags(command, answer.sentence), (asked, answer.sentence)


@pytest.mark.parametrize("command", COMMANDS)
def test_two_dashes_are_a_value_like_others(command: str) -> None:
    """`--stop --` is asked for where dashes are in the text; to argparse, before Python 3.13, it is no value at all."""
    for flag, action in flags_of(command).items():
        parser = Parser(prog="letterwise")
        command_module(command).add_flags(parser, [])
        for each in parser._actions:
            each.required = False
        if action.nargs == 0:
            continue
        value = "--"
        with contextlib.suppress(UserError):  # of numbers and choices
            (value,) = parser.parse(normalized([f"{flag}=--"])).values()
        assert value in ("--", ["--"]), flag
