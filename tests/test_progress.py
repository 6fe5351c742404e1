"""Progress: a living line on a real terminal, plain lines elsewhere, and stdout never."""

import contextlib
import os
import pty
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_run import FLAGS

from letterwise import progress
from letterwise.progress import (
    NotebookProgress,
    PlainProgress,
    announced,
    duration_text,
    held_out_text,
    progress_for_caller,
    progress_for_terminal,
)  # fmt: skip

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
    run.communicate(timeout=300)
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


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, str]]]:
    """As if a notebook's kernel ran this process: what its cell shows first, and then instead."""
    shown: list[tuple[str, dict[str, str]]] = []

    def display(content: dict[str, str], *, raw: bool, display_id: bool) -> SimpleNamespace:
        assert raw
        assert display_id
        shown.append(("display", content))
        return SimpleNamespace(update=lambda content, raw: shown.append(("update", content)))

    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    return shown


def test_in_a_notebook_a_line_is_replaced_below_what_stands(notebook, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    mine = progress_for_caller()
    mine.note("two < three")
    mine.start(200)
    for step in range(1, 101):  # 20 steps a second: every fifth is shown
        now[0] += 0.05
        mine.step(step, step / 200, 1.5, 12345.0, 65.0)
    shown = len(notebook)
    mine.held_out(ROW)
    mine.stop()
    assert [kind for kind, _ in notebook] == ["display", *["update"] * (len(notebook) - 1)]
    assert 15 <= shown <= 25
    assert notebook[0][1] == {"text/plain": "two < three", "text/html": "<pre>two &lt; three</pre>"}
    plain, html = notebook[shown - 1][1].values()
    assert plain.startswith("two < three\nstep ")
    assert len(plain.splitlines()) == 2
    assert '<progress value="0.' in html
    step, val = "step 40/200 · loss 1.500", held_out_text(ROW)
    assert notebook[-1][1] == {
        "text/plain": f"two < three\n{step} · {val}",
        "text/html": f"<pre>two &lt; three\n{step} · {val}</pre>",
    }
    assert capfd.readouterr() == ("", "")


def test_outside_of_a_notebook_there_is_none(notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    """IPython on a terminal has no kernel; most programs have no IPython."""
    assert type(progress_for_caller()) is NotebookProgress
    for there in (SimpleNamespace(get_ipython=lambda: SimpleNamespace()), SimpleNamespace(get_ipython=lambda: None)):
        monkeypatch.setitem(sys.modules, "IPython", there)
        assert not isinstance(progress_for_caller(), NotebookProgress)
    monkeypatch.delitem(sys.modules, "IPython")
    assert not isinstance(progress_for_caller(), NotebookProgress)


def outputs(code: str, folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """What a cell shows, as a kernel of its own tells it to a notebook."""
    from jupyter_client.manager import start_new_kernel

    environment = {**os.environ, "PYTHONPATH": str(ROOT), "IPYTHONDIR": str(folder), "JUPYTER_RUNTIME_DIR": str(folder)}
    manager, client = start_new_kernel(kernel_name="python3", env=environment)
    shown: list[tuple[str, dict[str, Any]]] = []
    try:
        reply = client.execute_interactive(
            code, timeout=300, output_hook=lambda message: shown.append((message["msg_type"], message["content"]))
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert reply["content"]["status"] == "ok", reply["content"]
    return [(kind, content) for kind, content in shown if kind not in ("status", "execute_input")]


def test_a_real_notebook_shows_one_output(text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    flags = {**FLAGS, "n_layer": 1, "max_iters": 20, "eval_interval": 10}
    code = f"""
import letterwise
letterwise.train({str(text_file)!r}, out={str(tmp_path / "shown")!r}, **{flags})
letterwise.train({str(text_file)!r}, out={str(tmp_path / "silent")!r}, progress=False, **{flags});
"""
    shown = outputs(code, tmp_path)
    assert [kind for kind, _ in shown] == ["display_data", *["update_display_data"] * (len(shown) - 1)], shown
    assert len({content["transient"]["display_id"] for _, content in shown}) == 1
    last = shown[-1][1]["data"]
    assert {"text/plain", "text/html"} <= last.keys()
    assert "step 20/20 · loss" in last["text/plain"]
    assert any("chars/s" in content["data"]["text/plain"] for _, content in shown)
    assert "chars/s" not in last["text/plain"]


def test_what_takes_long_is_said_and_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    with announced(notes.append, "doing little"):
        pass
    assert notes == []
    monkeypatch.setattr(progress, "SILENT_S", 0.0)
    monkeypatch.setattr(progress, "AGAIN_S", 0.01)
    twice = threading.Event()
    with announced(lambda note: (notes.append(note), len(notes) == 2 and twice.set()), "reading the text"):
        assert twice.wait(60)
    assert notes[:2] == ["reading the text …", "still reading the text, for 0 s now …"]
    said = len(notes)
    time.sleep(0.05)
    assert len(notes) == said, "nothing comes when it is over"
