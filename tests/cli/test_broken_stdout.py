"""Every command with every broken stdout ends right, or in a sentence; what is written is written whole.

One process loads everything once; each case is a fork of it, whose stdout is made anew as Python makes it when it starts.
"""

import io
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest
from command import ENVIRONMENT, ROOT, letterwise, running
from made_models import made

from letterwise.cli import main, output
from letterwise.cli.main import COMMANDS, ending_in_order
from letterwise.errors import Terminated, UserError
from letterwise.training.planning import plan

WAYS = ("closed", "full", "ascii", "broken pipe", "notebook", "raw", "latin-1")
SMALL = (
    "--n_layer", "0", "--preset", "counts", "--block_size", "16", "--counts_folds", "2", "--overwrite",
)  # fmt: skip
SPACE = 'preset = "counts"\nblock_size = 16\ncounts_folds = 2\n[vary]\ncounts_order = [3]'


def in_a_fork(way: str, words: list[str], folder: Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command line whose stdout is broken in some way."""
    out, err = folder / "stdout", folder / "stderr"
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = _broken(way, words, str(out), str(err))
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), *(p.read_bytes().decode("utf-8", "replace") for p in (out, err))


def _broken(way: str, words: list[str], out: str, err: str) -> int:
    os.dup2(os.open(err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    sys.stderr = open(2, "w", errors="backslashreplace", closefd=False)  # noqa: SIM115
    target = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    if way == "full":
        target = os.open("/dev/full", os.O_WRONLY)
    elif way == "broken pipe":
        reader, target = os.pipe()
        os.close(reader)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as Python starts
    os.dup2(target, 1)
    encoding = {"ascii": "ascii", "latin-1": "latin-1"}.get(way, "utf-8")
    if way == "closed":
        os.close(1)
        sys.stdout = None
    elif way == "notebook":
        sys.stdout = io.StringIO()
    elif way == "raw":  # PYTHONUNBUFFERED
        sys.stdout = io.TextIOWrapper(open(1, "wb", buffering=0, closefd=False), encoding, write_through=True)  # noqa: SIM115
    else:
        sys.stdout = open(1, "w", encoding=encoding, errors="strict", closefd=False)  # noqa: SIM115
    sys.stdin = open(os.devnull)  # noqa: SIM115
    code = main(words)
    if way == "notebook":
        os.write(1, sys.stdout.getvalue().encode())
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()  # as Python does at the end: an error here would be exit code 120
    return code


@pytest.fixture(scope="module")
def requests(tiny, text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    folder = tmp_path_factory.mktemp("stdout")
    (folder / "t.txt").write_text("The cat sat on the mat. ")
    model, text = ["--model_path", str(tiny.run_dir / "model.safetensors")], ["--input_file", str(folder / "t.txt")]
    packed, away = str(folder / "packed"), ["--output_file", str(folder / "out")]
    (folder / "space.toml").write_text(f"trials = 1\n[fixed]\ninput_file = ['{text_file}']\n{SPACE}")
    tiny.compress_file(folder / "t.txt", packed)
    made("gpt2").save(folder / "gpt2.pth")
    made("gpt2").export("hf", folder / "theirs")
    tiny.generate("The", num_tokens=2)
    list(tiny.score("The cat"))
    return {
        "train": ["--input_file", str(text_file), "--out", str(folder / "run"), *SMALL],
        "plan": ["--input_file", str(text_file), "--preset", "counts", "--minutes", "1"],
        "sweep": ["--space", str(folder / "space.toml"), "--out", str(folder / "sweep")],
        "generate": [*model, "--seed", "The", "--num_tokens", "20"],
        "evaluate": [*model, *text, "--json"],
        "score": [*model, *text],
        "novelty": [*model, *text],
        "compress": [*model, *text, *away],
        "decompress": [*model, "--input_file", packed, *away],
        "export": ["--model_path", str(folder / "gpt2.pth"), "--to", "hf", "--output_dir", str(folder / "hf"), "--overwrite"],
        "import": [str(folder / "theirs"), "--output_file", str(folder / "imported.pth")],
        "inspect": model,
        "compare": [str(tiny.run_dir), model[1]],
        "completion": ["bash"],
        "serve": ["--help"],  # what it answers goes to its clients
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_with_every_broken_stdout(
    command: str, requests: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "measured_flops", lambda *_: 1e9)
    for words in ([command, *requests[command]], [command, "--help"]):
        for way in WAYS:
            code, said, told = in_a_fork(way, words, tmp_path)
            assert "Traceback" not in told, (way, words, told)
            if way in ("closed", "full"):
                assert code == 2, (way, words, told)
                assert told.splitlines()[-1].startswith("letterwise: "), (way, told)
                assert "stdout" in told.splitlines()[-1]
            else:
                assert code == 0, (way, words, told)
                assert said or way == "broken pipe", (way, words)


def test_help_and_version_of_the_whole(tmp_path: Path) -> None:
    for words in (["--help"], ["--version"], []):
        assert [in_a_fork(way, words, tmp_path)[0] for way in WAYS] == [2, 2, 0, 0, 0, 0, 0]


def test_a_process_with_a_broken_stdout(tiny) -> None:
    """The same from the outside, with Python's own start and end."""
    program = f"{sys.executable} -m letterwise inspect --model_path {tiny.run_dir / 'model.safetensors'}"
    for way, code in (
        (">&-", 2), ("> /dev/full", 2), ("2>&- >/dev/full", 2), ("<&- >/dev/null", 0), ("--wrong 2>/dev/full", 2),
        ("| head -c 1 >/dev/null; exit ${PIPESTATUS[0]}", 0),
    ):  # fmt: skip
        done = subprocess.run(
            ["bash", "-c", f"{program} {way}"], capture_output=True, cwd=ROOT, env={**os.environ, **ENVIRONMENT}, check=False
        )
        assert done.returncode == code, (way, done)
        assert b"Traceback" not in done.stderr
        assert b"Exception ignored" not in done.stderr


class Short(io.RawIOBase):
    """Takes a few bytes at a time, and at times none."""

    def __init__(self) -> None:
        self.taken, self.turn = b"", 0
        self.reader, self.writer = os.pipe()

    def fileno(self) -> int:
        return self.writer

    def write(self, content) -> int | None:
        self.turn += 1
        if self.turn % 3 == 0:
            return None
        self.taken += bytes(content[:7])
        return min(7, len(content))


def test_short_writes_are_completed() -> None:
    stream, content = Short(), bytes(range(256)) * 3
    output.write_all(stream, content)
    assert stream.taken == content


@pytest.mark.parametrize("buffering", [0, -1])
def test_a_pipe_that_does_not_block_gets_everything(buffering: int) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    got: list[bytes] = []

    def read() -> None:
        while chunk := os.read(reader, 9999):
            got.append(chunk)
            time.sleep(0.0001)

    thread = threading.Thread(target=read)
    thread.start()
    content = os.urandom(300_000)
    with open(writer, "wb", buffering=buffering) as stream:
        output.write_all(stream, content)
    thread.join()
    assert b"".join(got) == content


def test_a_result_larger_than_a_disk_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(Short):
        def write(self, content) -> int:
            if len(self.taken) > 100:
                raise OSError(28, "No space left on device")
            return super().write(content) or 0

    monkeypatch.setattr(sys, "stdout", type("Stdout", (), {"buffer": Full(), "fileno": lambda self: self.buffer.fileno()})())
    with pytest.raises(UserError, match="not complete: No space left"):
        output.to_stdout("x" * 1000)


def test_sigterm_leaves_nothing_half_written(tiny, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"The cat sat on the log. " * 40_000)
    words = ("compress", "--model_path", tiny.run_dir / "model.safetensors", "--input_file", tmp_path / "big", "--online")
    with running(*words, "--output_file", tmp_path / "out") as process:
        while not list(tmp_path.glob("out.tmp-*")):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 128 + signal.SIGTERM
        assert b"Traceback" not in process.stderr.read()
    assert [path.name for path in tmp_path.iterdir()] == ["big"]


def test_a_signal_is_heard_where_python_ignores_what_is_raised() -> None:
    class Thing:
        pass

    def gone(reference: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    thing: Thing | None = Thing()
    ignored = sys.unraisablehook
    reference = weakref.ref(thing, gone)

    @ending_in_order()
    def work() -> None:
        nonlocal thing
        thing = None
        assert reference() is None
        time.sleep(30)

    with pytest.raises(Terminated) as ended:
        work()
    assert ended.value.signal_number == signal.SIGTERM
    assert sys.unraisablehook is ignored
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def on_a_terminal(words: list[object], stdin: bytes = b"", **environment: str) -> str:
    """What a person sees, of a fork."""
    reader, writer = os.pipe()
    os.write(writer, stdin)
    os.close(writer)
    child, terminal = pty.fork()
    if child == 0:
        code = 99
        try:
            os.environ.pop("NO_COLOR", None)
            os.environ.update({"TERM": "xterm", **environment})
            os.dup2(reader, 0)
            sys.stdin, sys.stdout, sys.stderr = open(0, closefd=False), open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
            code = main(list(map(str, words)))
        finally:
            os._exit(code)
    os.close(reader)
    seen = b""
    while True:
        try:
            seen += os.read(terminal, 9999)
        except OSError:  # the other end is closed
            break
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) in (0, 2), seen
    return seen.decode()


def test_a_terminal_is_told_nothing_that_it_obeys(tmp_path_factory: pytest.TempPathFactory) -> None:
    import letterwise as package

    folder = tmp_path_factory.mktemp("esc\x1b]0;x\x07")
    (folder / "log\x1b[2J").write_text("start\x1b[31m red\x07\nstop\x1b[0m\n" * 300)
    model = package.train(folder / "log\x1b[2J", out=folder / "run", preset="counts")
    model = ("--model_path", folder / "run/model.safetensors")
    line = b"start\x1b[31m red\x07\nstop\x1b[0m\n"
    for words in (
        ["score", *model, "--follow"], ["score", *model, "--rank"], ["score", *model], ["inspect", *model],
        ["score", *model, *model, "--each_line"], ["novelty", *model], ["generate", *model, "--seed", "start\x1b[31m"],
        ["generate", *model, "--lines", 20, "--rng_seed", 1], ["generate", *model, "--regex", "\x1b[31m("],
    ):  # fmt: skip
        seen = on_a_terminal(words, line, NO_COLOR="1")
        assert "\x1b" not in seen, (words, seen)
        assert "\x07" not in seen, (words, seen)
        assert "\\x1b" in seen, (words, seen)
    assert "\x1b[48;5;" in on_a_terminal(["score", *model], line, TERM="xterm")
    assert "\x1b" not in on_a_terminal(["score", *model], line, TERM="dumb")
    piped = letterwise("generate", *model, "--seed", "start\x1b[31m", "--num_tokens", 0)
    assert piped.stdout == "start\x1b[31m"
    assert (
        json.loads(letterwise("generate", *model, "--seed", "\x1b[", "--num_tokens", 0, "--json").stdout)["prompt"] == "\x1b["
    )
