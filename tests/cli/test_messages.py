"""Messages: a flag that one names is a flag of the command that was run, or of one that it names beside it."""

import ast
import re
from pathlib import Path

from in_process import FLAG, ask, flags_of, foreign_flags

from letterwise.cli.main import COMMANDS, placed

ROOT = Path(__file__).parents[2] / "letterwise"


def sentences() -> list[str]:
    """Every text in a call of `UserError`, as far as it is known before it runs."""
    found = []
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "UserError":
                texts = (n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str))
                found.append("".join(texts))
    return found


def test_every_flag_in_a_message_is_one_of_some_command() -> None:
    known = set().union(*map(flags_of, COMMANDS)) | {"--version"}
    messages = sentences()
    assert len(messages) > 100
    for message in messages:
        assert set(FLAG.findall(message)) <= known, message


def test_each_message_says_whose_flags_it_names() -> None:
    for message in sentences():
        for command in COMMANDS:
            assert not foreign_flags(command, placed(message, command)), (command, message)


def test_a_message_from_below_is_placed(tiny, tmp_path: Path) -> None:
    assert placed("Use --vocab byte.", "evaluate") == "Use --vocab byte. (--vocab: of `letterwise train`.)"
    assert placed("Use --vocab byte.", "train") == "Use --vocab byte."
    (tmp_path / "binary").write_bytes(b"The \xff\xfe\x00")
    answer = ask("novelty", "--model_path", tiny.run_dir / "model.safetensors", "--input_file", tmp_path / "binary")
    assert not foreign_flags("novelty", answer.sentence)


def test_suggestions(tiny) -> None:
    for command, flag, meant in (
        ("train", "--input", "--input_file"), ("train", "--lr", "--learning_rate"), ("generate", "--temp", "--temperature"),
        ("generate", "--max_new_tokens", "--num_tokens"), ("train", "--n_lyer", "--n_layer"), ("generate", "--start", "--seed"),
    ):  # fmt: skip
        assert f"did you mean '{meant}'?" in ask(command, "--model_path", "m.pth", flag, "x").sentence
    assert "--overwrite" in ask("plan", "--resume", "--overwrite").sentence
    model = ("generate", "--model_path", tiny.run_dir / "model.safetensors")
    assert not re.search("--unknown", ask(*model, "--logit_bias", "€=1").sentence)


def test_a_prompt_from_a_file(tiny, tmp_path: Path) -> None:
    (tmp_path / "p").write_text("The cat\n".rstrip())
    words = ("--num_tokens", 9, "--rng_seed", 1, "--model_path", tiny.run_dir / "model.safetensors")
    assert ask("generate", "--seed_file", tmp_path / "p", *words) == ask("generate", "--seed", "The cat", *words)
    assert "none" in ask("generate", "--seed_file", tmp_path / "none", *words).sentence
