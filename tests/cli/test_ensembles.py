"""Ensembles: every command takes one, or says in a sentence what to do instead."""

import json
from pathlib import Path

import pytest
from cli.in_process import ask, refused

from letterwise import LanguageModel
from letterwise.checkpoint import save_model
from letterwise.checkpoint.ensemble import combined

WEIGHTS = [0.25, 0.5, 0.25]  # three members, as in all tests: each number of them is compiled once


@pytest.fixture(scope="module")
def ensemble(tiny: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three times the same model, which is that model; its history is as a run writes it."""
    path = tmp_path_factory.mktemp("ensemble") / "model.safetensors"
    file = combined([tiny.file] * 3, WEIGHTS)
    file.history.extend(tiny.history)
    save_model(path, file)
    return path


def answered(*arguments: object) -> str:
    """What a command gives."""
    answer = ask(*arguments)
    assert answer.code == 0, answer
    return answer.stdout


def test_what_reads_and_writes_gives_what_the_model_gives(tiny: LanguageModel, ensemble: Path, text_file: Path) -> None:
    """Its logits by halves and quarters are its logits, to the bit."""
    alone = tiny.run_dir / "model.safetensors"
    for command in (
        ("generate", "--seed", "The ", "--num_tokens", 30, "--rng_seed", 1, "--json"),
        ("generate", "--seed", "The ", "--num_tokens", 30, "--regex", "(cat|dog| )*", "--rng_seed", 2, "--json"),
        ("evaluate", "--json"),
        ("evaluate", "--input_file", text_file, "--protocol", "sliding", "--json"),
        ("score", "--input_file", text_file, "--json"),
        ("novelty", "--input_file", text_file, "--json"),
    ):
        said, expected = (answered(command[0], "--model_path", path, *command[1:]) for path in (ensemble, alone))
        assert said == expected


def test_compression_comes_back(ensemble: Path, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("The cat sat on the log. The owl sat on the mät. " * 6)
    for how in ([], ["--online"]):
        packed, back = tmp_path / f"packed{len(how)}", tmp_path / f"back{len(how)}"
        answered("compress", "--model_path", ensemble, "--input_file", text, "--output_file", packed, *how)
        answered("decompress", "--model_path", ensemble, "--input_file", packed, "--output_file", back)
        assert back.read_bytes() == text.read_bytes()


def test_inspect_names_its_members(tiny: LanguageModel, ensemble: Path) -> None:
    said = answered("inspect", "--model_path", ensemble)
    each = " · ".join(f"{weight} × 2 layers, 2 heads, width 32, counts of order 7" for weight in WEIGHTS)
    assert f"ensemble       3 members: {each}\n" in said
    assert f"parameters     {3 * tiny.params:,}\n" in said
    told = json.loads(answered("inspect", "--model_path", ensemble, "--json"))
    assert [each["weight"] for each in told["members"]] == WEIGHTS
    assert told["params"] == 3 * tiny.params
    assert {"member.0.tokens.weight", "member.1.tokens.weight"} <= told["weights"].keys()


def test_compare_counts_the_weights_of_all_members(tiny: LanguageModel, ensemble: Path) -> None:
    told = json.loads(answered("compare", tiny.run_dir, ensemble, "--json"))
    assert [run["params"] for run in told["runs"]] == [tiny.params, 3 * tiny.params]


@pytest.mark.parametrize("target", ["hf", "gguf", "onnx", "html"])
def test_export_says_what_to_do_instead(ensemble: Path, tmp_path: Path, target: str) -> None:
    said = refused("export", "--model_path", ensemble, "--to", target, "--output_dir", tmp_path / "out")
    assert said.startswith(f"--to {target} without --distill MINUTES takes a single model")
    assert not (tmp_path / "out").exists()


def test_fine_tuning_says_what_to_do_instead(ensemble: Path, text_file: Path, tmp_path: Path) -> None:
    said = refused("train", "--init_from", ensemble, "--input_file", text_file, "--out", tmp_path / "out")
    assert said.startswith(
        f"--init_from {str(ensemble)!r} takes a single model, and this is an ensemble: give one of its members"
    )
    assert not (tmp_path / "out").exists()


def test_what_looks_inside_says_what_to_do_instead(ensemble: Path) -> None:
    from letterwise import UserError, load

    model = load(ensemble, device="cpu")
    for look in (lambda: model.attention("The cat"), lambda: model.lens("The cat"), model.embedding_map):
        with pytest.raises(UserError, match="takes a single model, and this is an ensemble"):
            look()
    assert sum(part.params for part in model.parts()) == model.params


def test_it_teaches(tiny: LanguageModel, ensemble: Path, text_file: Path, tmp_path: Path) -> None:
    """What its parts teach is what the model teaches."""
    shape = ["--n_layer", 1, "--n_head", 1, "--n_embd", 8, "--block_size", 8, "--max_iters", 4, "--warmup_iters", 1, "--json"]
    figures = []
    for name, teacher in (("one", tiny.run_dir / "model.safetensors"), ("two", ensemble)):
        made = ["--input_file", text_file, "--teacher", teacher, "--out", tmp_path / name, *shape]
        figures.append(json.loads(answered("train", *made))["best_val_nats_per_char"])
    assert figures[0] == figures[1]
