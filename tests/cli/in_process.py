"""The command line in this process: many requests in the time that one process needs to start."""

import argparse
import contextlib
import io
import os
import re
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from unittest.mock import patch

from letterwise.cli.flags import Parser
from letterwise.cli.main import COMMANDS, command_module, main

LIMIT_S, WAIT_S = 120, 1800  # of one request, in processor time and in all: what takes so long here runs, or waits, without end
FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")
QUOTED = re.compile(r"""(?<!\w)'(?:[^'\\]|\\.)*'(?!\w)|(?<!\w)"(?:[^"\\]|\\.)*"(?!\w)|`[^`]*`""")


@dataclass
class Answer:
    code: int
    stdout: str
    stderr: str

    @property
    def sentence(self) -> str:
        """What was said of a wrong request: one line, and nothing that a terminal obeys."""
        lines = [line for line in self.stderr.split("\n") if line.startswith("letterwise: ")]
        assert len(lines) == 1, self.stderr
        assert self.stderr.endswith(f"{lines[0]}\n"), self.stderr
        assert "Traceback" not in self.stderr
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", self.stderr)
        said = lines[0].removeprefix("letterwise: ")
        assert is_punctuated(said), said
        return said


def is_punctuated(message: str) -> bool:
    """Does it end in one mark, and so does every sentence in it? What it quotes is not ours."""
    ours = re.sub(r" \(--[^)]*\)$", "", QUOTED.sub("'it'", message))  # without whose flags it names
    wrong = re.search(r"[.?!:;,]\s*[.?!:;,](?!\w)|[a-z)'][.?!][A-Z]|\s[.?!:;,](?!\w)", ours)
    return bool(re.search(r"[.?!…)]$", ours)) and not wrong


@contextmanager
def short() -> Generator[None]:
    """`letterwise serve` would go on until a signal comes."""

    async def served(*_: object, **__: object) -> None:
        pass

    with patch("letterwise.serve.program.Server.serve", served), patch("webbrowser.open", lambda url: None):
        yield


def ask(*arguments: object) -> Answer:
    """Run `letterwise ARGUMENTS` here, with nothing on stdin. A server ends where it would begin to listen."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="surrogateescape") for _ in "12")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), open(os.devnull) as nothing, in_time(), short():
        before, sys.stdin = sys.stdin, nothing
        try:
            code = main(list(map(str, arguments)))
        finally:
            sys.stdin = before
    out.flush()
    err.flush()
    said, told = (stream.buffer.getvalue().decode("utf-8", "surrogateescape") for stream in (out, err))
    return Answer(code, said, told)


def refused(*arguments: object) -> str:
    """The one sentence with which a wrong request is refused; nothing is on stdout."""
    answer = ask(*arguments)
    assert (answer.code, answer.stdout) == (2, ""), answer
    return answer.sentence


@contextmanager
def in_time() -> Generator[None]:
    """Raises `AssertionError` where the block takes too long, by a clock that stands still while others have the processor."""

    def late(*_: object) -> None:
        raise AssertionError(f"it took more than {LIMIT_S} s of processor time, or {WAIT_S} s")

    numbers = {signal.SIGPROF: (signal.ITIMER_PROF, LIMIT_S), signal.SIGALRM: (signal.ITIMER_REAL, WAIT_S)}
    before = {number: signal.signal(number, late) for number in numbers}
    for timer, seconds in numbers.values():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for number, (timer, _) in numbers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


@cache
def flags_of(command: str) -> dict[str, argparse.Action]:
    """Every flag of a command."""
    parser = Parser(prog=f"letterwise {command}")
    command_module(command).add_flags(parser, [])
    return {option: action for action in parser._actions for option in action.option_strings if option.startswith("--")}


def foreign_flags(command: str, sentence: str) -> set[str]:
    """Flags that a sentence names though this command has none of them, nor one that the sentence names beside it."""
    named = {flag.replace("-", "_").replace("__", "--", 1) for flag in FLAG.findall(sentence)}
    known = set(flags_of(command))
    for other in COMMANDS:
        if re.search(rf"\b{other}\b", sentence):
            known |= set(flags_of(other))
    return named - known
