"""README and guide: what they say works. Every command and the Python example run as written, only smaller."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from in_process import ask

import letterwise

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
GUIDE = (ROOT / "docs/guide.md").read_text()
SMALL = dict(minutes=0.0, max_iters=3, warmup_iters=1, n_layer=1, n_embd=16, block_size=16, batch_size=2)
POEM = "The moon is a lamp in the night, and some initial text lies under it.\n" * 30


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README + GUIDE, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader of the README stands: the checkout, with texts of their own."""
    path = tmp_path_factory.mktemp("readme")
    for name in ("train.py", "generate.py", "letterwise"):
        (path / name).symlink_to(ROOT / name)
    (path / "input.txt").write_text(POEM)
    (path / "poems").mkdir()
    (path / "poems/moon.txt").write_text(POEM)
    subprocess.run(["gzip", "-k", "input.txt"], cwd=path, check=True)
    (path / "input.txt.gz").rename(path / "more.txt.gz")
    return path


def test_every_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of `letterwise` in this process, which saves each of them the start."""
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(commands) >= 19
    monkeypatch.chdir(folder)
    for command in commands:
        program, *words = shlex.split(command)
        if "train" in command.split("--")[0] and "--resume" not in words:
            words += [f"--{name}={value}" for name, value in SMALL.items()]
        if "--distill" in words:
            words[words.index("--distill") + 1] = "0.05"
        code, out, err = run(program, words)
        assert code == 0, (command, err)
        if "--lines" in words and "generate" in words:
            assert out.count("\n") == int(words[words.index("--lines") + 1])
        elif "generate" in command:
            seed = words[words.index("--seed") + 1]
            assert out.startswith(seed)


def run(program: str, words: list[str]) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    if program == "letterwise":
        answer = ask(*words)
        return answer.code, answer.stdout, answer.stderr
    assert program == "python"
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_the_python_example(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    train = letterwise.train
    monkeypatch.setattr(letterwise, "train", lambda *args, **knobs: train(*args, **{**knobs, **SMALL}))
    monkeypatch.chdir(folder)
    (example,) = blocks("python")
    exec(compile(example, "guide.md", "exec"), {})
    told = capsys.readouterr().out
    assert told.startswith("The moon")
    bits_per_char = float(re.search(r"\d+\.\d+$", told.strip())[0])
    assert 0 < bits_per_char < 10


def test_every_link_leads_somewhere() -> None:
    for text in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)", text.read_text()):
            assert (text.parent / target).exists(), (text.name, target)


def test_the_tree_names_what_is_there() -> None:
    """Every file of the package stands in the annotated tree."""
    tree = (ROOT / "CONTRIBUTING.md").read_text().split("train.py  generate.py")[1]
    for path in (ROOT / "letterwise").rglob("*.py"):
        if not path.name.startswith("__") and path.parent.name != "commands":
            assert path.stem in tree, path
