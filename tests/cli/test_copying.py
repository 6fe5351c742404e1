"""`letterwise novelty`, and `generate --max_copy`, as a person runs them."""

import json
from pathlib import Path

import tiny_run
from command import letterwise, refused

TEXT = "The dog sat on the sill. Ölig."


def test_what_it_says(tiny, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(TEXT)
    model = ("--model_path", tiny.run_dir / "model.safetensors")
    done = letterwise("novelty", *model, "--input_file", tmp_path / "t.txt")
    assert (done.returncode, done.stderr) == (0, "")
    first, run, shares = done.stdout.splitlines()
    assert "25 characters" in first
    assert run == "    'The dog sat on the sill. '"
    assert "20: 83.3%, 50: 0.0%" in shares
    done = letterwise("novelty", *model, "--input_file", "-", "--json", stdin=TEXT.encode())
    assert done.stdout.count("\n") == 1
    told = json.loads(done.stdout)
    assert told["chars"] == 30
    assert told["longest"]["text"] == TEXT[:25]
    assert (told["longest"]["chars"], told["longest"]["start"], told["longest"]["line"], told["longest"]["column"]) == (
        25,
        0,
        1,
        1,
    )
    assert told["shares"] == {"20": 25 / 30, "50": 0.0, "100": 0.0}
    assert told["nearest"] == []  # the training text has no lines


def test_the_middle_of_a_long_run_is_left_out(tiny) -> None:
    done = letterwise("novelty", "--model_path", tiny.run_dir / "model.safetensors", stdin=tiny_run.TEXT[:500].encode())
    assert done.stdout.splitlines()[1] == f"    {tiny_run.TEXT[:100]!r} … {tiny_run.TEXT[400:500]!r}"


def test_refusals(tiny) -> None:
    model = ("--model_path", tiny.run_dir / "model.safetensors")
    assert "empty" in refused("novelty", *model, stdin=b"")
    assert "max_copy=0" in refused("generate", *model, "--seed", "The", "--max_copy", 0)


def test_a_text_that_copies_little(tiny) -> None:
    flags = ("--model_path", tiny.run_dir / "model.safetensors", "--seed", "The cat", "--num_tokens", 60, "--rng_seed", 1)
    free, bounded = letterwise("generate", *flags).stdout, letterwise("generate", *flags, "--max_copy", 9).stdout
    assert tiny.novelty(free).longest.chars > 20
    assert tiny.novelty(bounded).longest.chars == 9
