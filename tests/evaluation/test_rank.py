"""Rank: p-values are what they say they are, and planted odd lines come first."""

import random
from dataclasses import replace

import numpy as np
import pytest

import letterwise
from letterwise.errors import UserError
from letterwise.evaluation import rank as ranking
from letterwise.evaluation.rank import Calibration, rank
from letterwise.evaluation.score import Line, bits_only

ODD = """\
kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b
Traceback (most recent call last):
segfault at 7ffd0 ip 00005583 sp 00007ffd error 4 in nginx[5583+1f000]
DROP TABLE users; -- ' OR 1=1
rm -rf --no-preserve-root /
GET /../../../../etc/passwd HTTP/1.0
java.lang.NullPointerException at Foo.bar(Foo.java:42)
Out of memory: Killed process 4242 (postgres) total-vm:81234kB
%%%%%%%%%%%%%%%%%%%%%%%%
Certificate has EXPIRED!!! renew NOW
core dumped (signal 11), see /var/crash
<script>document.cookie</script>
disk sda1: I/O error, sector 80218
Permission denied (publickey,password).
root login from 203.0.113.77 using telnet
clock skew of 86400 s detected, giving up
lorem ipsum dolor sit amet consectetur
2024-13-45 99:99:99 zzz zzz zzz
base64:TVqQAAMAAAAEAAAA//8AALgAAAA
ECC error: bank 5, uncorrected, halting
""".splitlines()  # none of these forms is in the log


def log_line(draw: random.Random) -> str:
    """An ordinary line of a web service's log."""
    when = f"2026-11-{draw.randint(1, 30):02d} {draw.randint(0, 23):02d}:{draw.randint(0, 59):02d}:{draw.randint(0, 59):02d}"
    user, number, ms = draw.choice(("anna", "bert", "cleo", "dora", "emil")), draw.randint(1, 9999), draw.randint(1, 400)
    what = draw.choice((
        f"INFO request {number} GET /items/{number} 200 in {ms} ms", f"INFO request {number} POST /items 201 in {ms} ms",
        f"INFO user {user} logged in from 10.0.{draw.randint(0, 9)}.{draw.randint(1, 254)}",
        f"INFO user {user} logged out after {ms} s",
        f"WARN request {number} slow: {ms + 1000} ms", f"INFO cache hit rate {draw.randint(70, 99)} %",
        f"DEBUG worker {draw.randint(1, 8)} took job {number}",
        f"INFO job {number} done by worker {draw.randint(1, 8)} in {ms} ms",
    ))  # fmt: skip
    return f"{when} {what}\n"


@pytest.fixture(scope="module")
def log_model(tmp_path_factory: pytest.TempPathFactory):
    """A model of a log: counting, which is quick, and knows all there is to know of such lines."""
    folder = tmp_path_factory.mktemp("log")
    draw = random.Random(1)
    (folder / "log.txt").write_text("".join(log_line(draw) for _ in range(6000)) + "".join(map(chr, range(32, 127))) + "\n")
    return letterwise.train(folder / "log.txt", out=folder / "run", preset="counts")


def test_planted_odd_lines_come_first(log_model, tmp_path) -> None:
    """20 odd lines among 10,000 ordinary ones, none of which the model has seen: at least 18 among the first 40."""
    draw = random.Random(2)
    text = [log_line(draw) for _ in range(10_000)]
    for line in ODD:
        text.insert(draw.randrange(len(text)), line + "\n")
    (tmp_path / "new.txt").write_text("".join(text))
    first = list(log_model.rank(input_file=tmp_path / "new.txt", top=40))
    assert len({ranked.line.text[:-1] for ranked in first} & set(ODD)) >= 18
    assert [ranked.p_value for ranked in first] == sorted(ranked.p_value for ranked in first)


def line(number: int, length: int, bits_per_char: float) -> Line:
    bits = np.full(length + 1, bits_per_char)
    return Line(number, 1, "x" * length + "\n", float(bits.sum()), length + 1, bits_only(np.zeros(length + 1, int), bits))


def test_a_p_value_is_the_share_of_ordinary_lines_that_are_as_odd() -> None:
    ordinary = [line(i, 10, i / 10) for i in range(99)]
    calibration = Calibration(ordinary)
    assert calibration.rank(line(0, 10, 100.0)).p_value == pytest.approx(1 / 100)
    assert calibration.rank(line(0, 10, 8.95)).p_value == pytest.approx(10 / 100)
    assert calibration.rank(line(0, 10, -1.0)).p_value == 1


def test_lines_are_held_against_those_of_their_length() -> None:
    """Short lines vary more: what is odd for a long one is not for a short one."""
    noise = np.random.default_rng(0)
    ordinary = [line(i, length, noise.normal(2, 3 / length)) for length in (5, 80) for i in range(2000)]
    calibration = Calibration(ordinary)
    assert calibration.rank(line(0, 5, 2.6)).p_value > 0.1
    assert calibration.rank(line(0, 80, 2.6)).p_value < 0.01


def test_p_values_of_ordinary_lines_are_spread_evenly() -> None:
    noise = np.random.default_rng(1)

    def some(count: int) -> list[Line]:
        return [line(i, int(n), noise.gamma(4) / n) for i, n in enumerate(noise.integers(5, 60, count))]

    calibration = Calibration(some(5000))
    p = np.array([ranked.p_value for ranked in rank(some(5000), calibration)])
    for share in (0.01, 0.1, 0.5):
        assert (p <= share).mean() == pytest.approx(share, rel=0.2, abs=0.005)


def test_only_the_oddest_are_kept_and_empty_lines_are_not_odd() -> None:
    calibration = Calibration([line(i, 10, i / 10) for i in range(99)])
    many = [line(i, 10, (i * 7919 % 5000) / 500) for i in range(5000)] + [line(9, 0, 50.0)]
    every = [(ranked.line.number, ranked.p_value) for ranked in rank(many, calibration)]
    assert [(ranked.line.number, ranked.p_value) for ranked in rank(many, calibration, 7)] == every[:7]
    assert len(every) == 5000


def test_many_lines_are_sorted_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle: in memory. What comes back from the file is what went in."""
    calibration = Calibration([line(i, 10, i / 10) for i in range(99)])
    many = [line(i, 10, (i * 7919 % 500) / 50) for i in range(500)]
    many[3] = replace(many[3], text="\ud800☠\n")
    expected = [(ranked.line.number, ranked.line.text, ranked.line.bits, ranked.p_value) for ranked in rank(many, calibration)]
    monkeypatch.setattr(ranking, "RUN", 64)
    got = [(ranked.line.number, ranked.line.text, ranked.line.bits, ranked.p_value) for ranked in rank(many, calibration)]
    assert sorted(got) == sorted(expected)
    assert [row[3] for row in got] == [row[3] for row in expected]

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ranking.tempfile, "TemporaryFile", full)
    with pytest.raises(UserError, match=r"No space left.*--top"):
        list(rank(many, calibration))


def test_a_line_of_unknown_characters_is_the_oddest_and_is_printed_as_it_was_written(log_model) -> None:
    draw = random.Random(3)
    text = [log_line(draw) for _ in range(40)]
    text[11:11] = ["☠☠\n", "GET /../../ëtc/pässwd\n"]
    first, second = log_model.rank("".join(text), top=2)
    assert {first.line.text, second.line.text} == {"☠☠\n", "GET /../../ëtc/pässwd\n"}
    assert {first.line.number, second.line.number} == {12, 13}


def test_too_few_ordinary_lines(tiny, tmp_path) -> None:
    with pytest.raises(UserError, match="1 held-out lines are too few to rank by"):
        tiny.rank("The cat sat on the mat.")
    with pytest.raises(UserError, match="--top -1"):
        tiny.rank("The cat sat on the mat.", top=-1)
