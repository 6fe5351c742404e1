"""Export from the command line: complete or not at all, whatever happens; and one sentence for what cannot be."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import ENVIRONMENT, running
from in_process import ask, refused
from made_models import made


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "llama.safetensors"
    made("llama").save(path)
    return path


@pytest.mark.parametrize("to", ["hf", "html"])
def test_what_was_written_is_listed(to: str, model: Path, tmp_path: Path) -> None:
    answer = ask("export", "--model_path", model, "--to", to, "--output_dir", tmp_path / to, "--json")
    assert answer.code == 0
    told = json.loads(answer.stdout)
    assert told["output_dir"] == str(tmp_path / to)
    assert told["files"] == {path.name: path.stat().st_size for path in sorted((tmp_path / to).iterdir())}
    again = refused("export", "--model_path", model, "--to", to, "--output_dir", tmp_path / to)
    assert "holds files already" in again
    assert "--overwrite" in again
    assert ask("export", "--model_path", model, "--to", "html", "--output_dir", tmp_path / to, "--overwrite").code == 0
    assert os.listdir(tmp_path / to) == ["index.html"]


def test_wrong_requests_are_one_sentence(model: Path, tmp_path: Path, tiny) -> None:
    begin = ("export", "--model_path", model, "--output_dir", tmp_path / "out")
    assert "invalid choice: 'gguff'" in refused(*begin, "--to", "gguff")
    assert "has no --weights int8" in refused(*begin, "--to", "hf", "--weights", "int8")
    assert "is not a number" in refused(*begin, "--to", "hf", "--distill", "x")
    assert refused(*begin, "--to", "hf", "--distill", "-1")
    assert refused(*begin, "--to", "hf", "--distill", "nan")
    assert "n-gram counts" in refused(
        "export", "--model_path", tiny.run_dir / "model.safetensors", "--output_dir", tmp_path / "out", "--to", "hf"
    )
    assert refused("export", "--model_path", tmp_path / "none.pth", "--output_dir", tmp_path / "out", "--to", "hf")
    assert list(tmp_path.iterdir()) == []


def test_somebody_elses_folder_is_left_alone(model: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    said = refused("export", "--model_path", model, "--to", "hf", "--output_dir", tmp_path, "--overwrite")
    assert "'notes.txt', which no export wrote" in said
    assert os.listdir(tmp_path) == ["notes.txt"]


@pytest.mark.parametrize("to", ["hf", "gguf", "html"])
def test_a_full_disk_leaves_nothing(to: str, model: Path, tmp_path: Path) -> None:
    """A limit on the size of files is what a full disk is, without filling one."""

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    words = [sys.executable, "-m", "letterwise", "export", "--model_path", str(model), "--to", to, "--output_dir", "out"]
    environment = {**os.environ, **ENVIRONMENT, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        words, cwd=tmp_path, env=environment, preexec_fn=limited, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("letterwise: cannot write 'out': ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_is_interrupted_is_not_there(number: signal.Signals, model: Path, tmp_path: Path) -> None:
    """Tracing takes seconds: time to be interrupted in."""
    with running("export", "--model_path", model, "--to", "onnx", "--output_dir", tmp_path / "out") as process:
        assert process.stderr.readline().startswith(b"tracing the graph")
        time.sleep(0.5)
        process.send_signal(number)
        code = process.wait(timeout=600)
    assert code == (-number if number == signal.SIGKILL else 128 + number)
    left = [path.name for path in tmp_path.iterdir()]
    if number != signal.SIGKILL:
        assert left == []
    else:
        assert len(left) == 1
        assert left[0].startswith("out.tmp-")
        assert ask("export", "--model_path", model, "--to", "html", "--output_dir", tmp_path / "out").code == 0
        assert os.listdir(tmp_path) == ["out"]


def test_a_student_is_interrupted(tiny, tmp_path: Path) -> None:
    words = ("--to", "gguf", "--distill", 5, "--output_dir", tmp_path / "out")
    with running("export", "--model_path", tiny.run_dir / "model.safetensors", *words) as process:
        while b"parameters" not in (line := process.stderr.readline()):
            assert line
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=600)
    assert process.returncode == 130
    assert b"stopped while the student was trained" in told
    assert list(tmp_path.iterdir()) == []
