"""Messages: a flag that one names is a flag of the command that was run, or of one that it names beside it."""

import ast
import io
import itertools
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from in_process import FLAG, ask, flags_of, foreign_flags, is_punctuated

from letterwise.checkpoint import load_model
from letterwise.checkpoint.container import pack, unpack
from letterwise.cli.commands.generate import show
from letterwise.cli.main import COMMANDS, placed
from letterwise.cli.output import logged_to_stderr, to_stderr, to_stdout
from letterwise.data import prepare
from letterwise.errors import UserError, sentence

ROOT = Path(__file__).parents[2] / "letterwise"
MESSAGE = re.compile(
    r"^(?!.*\bstrerror\b).*\b(?:error|why|refused|did_you_mean)\b"
)  # another message, and no words of the system


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


def test_messages_that_are_made_of_others_are_whole_sentences() -> None:
    """Another message ends in a mark, perhaps: what follows it directly is left to `sentence`."""
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            parts = node.values if isinstance(node, ast.JoinedStr) else []
            for part, behind in itertools.pairwise(parts):
                quoted = isinstance(part, ast.FormattedValue) and part.conversion == ord("r")
                if isinstance(part, ast.FormattedValue) and isinstance(behind, ast.Constant) and not quoted:
                    inner, closed = ast.unparse(part.value), str(behind.value).startswith((".", "?", "!"))
                    assert not (closed and MESSAGE.search(inner)), (path.name, ast.unparse(node))
    for part in ("it is cut off", "did you mean 'utf-8'?", "Try again.", "and so on …"):
        assert is_punctuated(f"It is damaged: {sentence(part)} Restore it.")
    for wrong in ("did you mean 'utf-8'?. Restore it.", "Elsewhere.: name it.", "Done.Again.", "known: a, b", "so .", "a:: b."):
        assert not is_punctuated(wrong), wrong


def test_a_full_cache_gives_one_piece_of_advice(tiny, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    advice = f"cannot write to the cache '{cache}': No space left on device. Set LETTERWISE_CACHE elsewhere."

    def full(*_: object, **__: object) -> None:
        raise UserError(advice)

    monkeypatch.setattr(prepare, "write_entry", full)
    assert ask("evaluate", "--model_path", tiny.run_dir / "model.safetensors").sentence == advice


class Screen(io.StringIO):
    """A terminal, on which stdout and stderr meet."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Samples:
    """One sample, which comes in pieces; before the second there is something to say, and behind it, perhaps, an error."""

    def __init__(self, error: Exception | None = None) -> None:
        self.ended, self.error = [False], error

    def __iter__(self) -> Iterator[tuple[int, str]]:
        logging.getLogger("letterwise").warning("compiling …")
        yield 0, "he c"
        logging.getLogger("letterwise").warning("still compiling …")
        yield 0, "at"
        if self.error:
            raise self.error


def test_words_do_not_stand_amid_a_text_on_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    with logged_to_stderr():
        show("T", Samples())
        with pytest.raises(UserError, match="the end"):
            show("T", Samples(UserError("the end.")))
    to_stderr("letterwise: the end.")
    said = "compiling …\nThe cat\nstill compiling …\n"
    assert screen.getvalue() == f"{said}{said}letterwise: the end.\n"
    to_stdout("The c")
    to_stderr("letterwise: the end.")
    assert screen.getvalue().endswith("The c\nletterwise: the end.\n")


def test_words_do_not_wait_where_the_text_goes_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, screen = io.StringIO(), Screen()
    monkeypatch.setattr(sys, "stdout", pipe)
    monkeypatch.setattr(sys, "stderr", screen)
    with logged_to_stderr():
        show("T", Samples())
    assert (pipe.getvalue(), screen.getvalue()) == ("The cat", "compiling …\nstill compiling …\n")


def test_a_damaged_model_asks_and_advises(tmp_path: Path) -> None:
    golden = Path(__file__).parents[1] / "golden" / "format3-model.safetensors"
    header, arrays = unpack(golden)
    header["config"]["data"]["encoding"] = "utf-9"
    (tmp_path / "m.safetensors").write_bytes(pack(header, arrays, ".safetensors"))
    with pytest.raises(UserError, match=r"did you mean 'utf-8'\? Restore it"):
        load_model(tmp_path / "m.safetensors")
