"""Progress: a living line on a real terminal, plain lines elsewhere, and stdout never."""

import contextlib
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_run import FLAGS

from letterwise import progress
from letterwise.progress import PlainProgress, duration_text, held_out_text, progress_for_terminal

ROOT = Path(__file__).parents[1]
ROW = {"step": 40, "train_nats_per_char": 1.5, "val_nats_per_char": 0.6931471805599453, "best": True}


def test_a_terminal_gets_a_line_that_moves(text_file: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    flags = [f"--{name}={value}" for name, value in FLAGS.items()]
    command = [sys.executable, "-m", "letterwise", "train", "--input_file", text_file, "--out", tmp_path / "o", *flags]
    run = subprocess.Popen(command, cwd=ROOT, stderr=theirs, stdout=subprocess.PIPE, env={**os.environ, "COLUMNS": "160"})
    os.close(theirs)
    told = b""
    with open(ours, "rb", buffering=0) as terminal, contextlib.suppress(OSError):  # how it says that the other side has gone
        while piece := terminal.read(65536):
            told += piece
    run.communicate(timeout=60)
    assert run.returncode == 0
    text = told.decode()
    assert "\r" in text
    assert "chars/s" in text
    assert "left" in text
    assert "step 80/80 · loss" in text
    assert "bits per character · best so far" in text


def test_plain_lines_come_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    plain = PlainProgress()
    plain.start(200)
    for step in range(1, 41):
        now[0] += 1
        plain.step(step, step / 200, 1.5, 12345.0, 65.0)
    told = capsys.readouterr()
    assert told.out == ""
    assert [line.split(" · ")[0] for line in told.err.splitlines()] == [f"step {step}/200" for step in (10, 20, 30, 40)]
    assert "12,345 chars/s · 0:01:05 left" in told.err


def test_a_run_in_minutes_has_no_last_step(capsys: pytest.CaptureFixture) -> None:
    plain = PlainProgress()
    plain.start(None)
    plain.held_out(ROW)
    assert capsys.readouterr().err == "step 40 · loss 1.500 · val 0.6931 nats = 1.0000 bits per character · best so far\n"


def test_words() -> None:
    assert held_out_text({**ROW, "val_nats_per_char": None}) == "no validation part"
    assert duration_text(3725.4) == "1:02:05"


def test_a_pipe_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", open(os.devnull, "w"))  # noqa: SIM115
    assert type(progress_for_terminal()) is PlainProgress
    sys.stderr.close()
