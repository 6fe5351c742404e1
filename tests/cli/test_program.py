"""Program: the commands that are printed work as they stand, however this one was started."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from letterwise.cli.program import place, program, words
from letterwise.printable import printable

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("started_by", ["train.py", "python -m letterwise", ".venv/bin/letterwise", "letterwise on PATH"])
def test_what_is_printed_starts_it_again(started_by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    (folder / "letterwise").write_text(f"#!{sys.executable}\nimport runpy\nrunpy.run_module('letterwise')\n")
    (folder / "letterwise").chmod(0o755)
    for name in ("train.py", "generate.py", "letterwise"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    path = f"{folder}:/usr/bin:/bin" if started_by == "letterwise on PATH" else "/usr/bin:/bin"
    monkeypatch.setenv("PATH", path)
    typed = {"train.py": "train.py", "python -m letterwise": str(ROOT / "letterwise/__main__.py")}
    typed |= {".venv/bin/letterwise": ".venv/bin/letterwise", "letterwise on PATH": str(folder / "letterwise")}
    monkeypatch.setattr(sys, "argv", [typed[started_by], "train"])
    command = program("generate")
    if started_by == "letterwise on PATH":
        assert command == "letterwise generate"
    elif started_by == ".venv/bin/letterwise":
        assert command == ".venv/bin/letterwise generate"
    done = subprocess.run(
        ["/bin/sh", "-c", f"{command} --help"], env={"PATH": path, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False
    )
    assert done.returncode == 0, (command, done.stderr)
    assert b"--num_tokens" in done.stdout


@pytest.mark.parametrize("typed", ["letterwise", "train.py"])
def test_a_command_that_no_script_and_no_path_leads_to(typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`./letterwise` typed in its own folder; `python train.py --seeds 2`, which names `compare`: there is no compare.py."""
    (tmp_path / "letterwise").write_text("#!/bin/sh\necho started $1\n")
    (tmp_path / "letterwise").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(sys, "argv", [typed])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    done = subprocess.run(["/bin/sh", "-c", program("compare")], capture_output=True, text=True, check=True)
    assert done.stdout == "started compare\n"


def test_bash_reads_arguments_as_they_are_meant() -> None:
    """Also control characters and bytes that are no text; what is shown holds none of them."""
    odd = [chr(i) for i in range(1, 256)] + ["", "-x", "~", "it's", '$HOME `x` "y"', "!!", "a\nb\\n'", "\u2028é\udcff7", "☃"]
    arguments = [*odd, "".join(odd)]
    command = f"printf '%s\\0' {words(arguments)}"
    assert printable(command, one_line=True) == command
    done = subprocess.run(["bash", "-c", command.encode()], capture_output=True, check=True)
    assert done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1] == arguments


def test_a_name_like_a_flag_is_still_a_name() -> None:
    assert [place(name) for name in ("-run/m.pth", "~/m.pth", "run/-m.pth", "/-/m.pth")] == [
        "./-run/m.pth", "./~/m.pth", "run/-m.pth", "/-/m.pth",
    ]  # fmt: skip


@pytest.mark.parametrize("typed", ["train.py", "generate.py --model_path x.safetensors", "-m letterwise train"])
def test_without_the_environment_a_sentence_says_how_to_get_one(typed: str) -> None:
    bare = [sys.executable, "-S", *shlex.split(typed)]  # no site-packages
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
    done = subprocess.run(bare, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "make demo" in done.stderr
    assert done.stderr.count("\n") == 1
    assert shutil.which(sys.executable)
