"""Completion: a real bash completes commands, flags, choices and file names."""

import shutil
import subprocess
from pathlib import Path

import pytest
from in_process import ask

BASH = shutil.which("bash")
DRIVER = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
_shtab_letterwise
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "letterwise.bash"
    answer = ask("completion", "bash")
    assert answer.code == 0
    path.write_text(answer.stdout)
    return path


@pytest.mark.skipif(BASH is None, reason="no bash here")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("letterwise tr", ["train"]),
        ("letterwise train --pres", ["--preset"]),
        ("letterwise generate --top", ["--top_k", "--top_p"]),
        ("letterwise evaluate --protocol sl", ["sliding"]),
        ("letterwise train --preset cl", ["classic"]),
        ("letterwise inspect --model_path my", ["my.safetensors"]),
    ],
)
def test_bash_completes(typed: str, offered: list[str], script: Path, tmp_path: Path) -> None:
    (tmp_path / "my.safetensors").touch()
    words = [str(BASH), "-c", DRIVER, "bash", str(script), *typed.split()]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == offered


def test_an_unknown_shell_is_refused() -> None:
    assert "'fish'" in ask("completion", "fish").sentence
    assert ask("completion").code == 2
