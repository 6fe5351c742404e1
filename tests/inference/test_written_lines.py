"""Lines that are written: whole, new, each once, the same whatever their company; and always an end."""

from pathlib import Path

import pytest

import letterwise
from letterwise.api import LanguageModel
from letterwise.data.cache import reopen
from letterwise.errors import UserError
from letterwise.inference import generate
from letterwise.inference import lines as writing


def plain(
    model: LanguageModel, many: int, seed: int, *, prompt: str = "", known: set[str] = frozenset(), **options
) -> list[str]:
    """One candidate after another, each written by itself; the number of candidates comes last."""
    found: list[str] = []
    candidates = 0
    while len(found) < many:
        text = model.generate("\n" + prompt, rng_seed=seed + candidates, num_tokens=41, until_line=True, **options)
        candidates += 1
        line = prompt + text.removesuffix("\n")
        if text.endswith("\n") and line and line not in known and line not in found:
            found.append(line)
    return [*found, str(candidates)]


@pytest.mark.parametrize("side_by_side", [1, 7, 64])
def test_lines_are_those_of_one_candidate_after_another(
    tiny_lines, line_file: Path, side_by_side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate, "SIDE_BY_SIDE", side_by_side)
    monkeypatch.setattr(writing, "SIDE_BY_SIDE", side_by_side)
    known = set(line_file.read_text().split("\n"))
    for prompt in ("", "ke"):
        lines = tiny_lines.lines(30, prompt, unique=True, new=True, num_tokens=40, temperature=1.2, rng_seed=5)
        got = list(lines)
        assert [*got, str(lines.candidates)] == plain(tiny_lines, 30, 5, prompt=prompt, known=known, temperature=1.2)
        assert len(set(got)) == 30
        assert not set(got) & known
        assert all(line.startswith(prompt) for line in got)
        assert lines.candidates == lines.given + lines.known + lines.repeated + lines.unfinished
        assert lines.ended == "enough"
        assert lines.known > 0


def test_new_means_neither_learned_nor_validated_on(tiny_lines, monkeypatch: pytest.MonkeyPatch) -> None:
    stream_ = reopen(tiny_lines.data["fingerprint"])
    val = set(tiny_lines.vocabulary.decode(stream_.part("val")).split("\n")) - {""}
    found = set(tiny_lines.lines(400, rng_seed=1, temperature=0.9))
    assert found & val  # short names, which it writes again though it has not seen them
    assert not set(tiny_lines.lines(100, rng_seed=1, temperature=0.9, new=True)) & val


def test_there_is_always_an_end(tiny_lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "BARREN", 30)
    lines = tiny_lines.lines(50, unique=True, charset="ab", rng_seed=1, num_tokens=4)
    found = list(lines)
    assert lines.ended == "barren"
    assert 0 < len(found) == len(set(found)) < 50
    assert all(set(line) <= {"a", "b"} and len(line) <= 4 for line in found)
    endless = tiny_lines.lines(5, num_tokens=1, rng_seed=1)
    assert all(len(line) == 1 for line in endless)
    late = tiny_lines.lines(10**6, max_seconds=1e-9, rng_seed=1)
    assert list(late) == []
    assert late.ended == "time"


def test_a_constraint_is_met_by_each_line(tiny_lines) -> None:
    lines = tiny_lines.lines(12, regex="(ba|ke)[a-z]{2,6}", unique=True, num_tokens=20, rng_seed=2)
    found = list(lines)
    assert len(set(found)) == 12
    assert all(line[:2] in ("ba", "ke") and 4 <= len(line) <= 8 for line in found)
    held = list(tiny_lines.lines(5, must_contain="sta", exclude="\n", num_tokens=20, rng_seed=2))
    assert all("sta" in line and "\n" not in line for line in held)


def test_a_model_of_running_text_writes_lines_too(line_file: Path, tmp_path: Path) -> None:
    flags = dict(n_layer=1, n_head=2, n_embd=16, block_size=8, batch_size=4, max_iters=5, warmup_iters=1)
    model = letterwise.train(line_file, out=tmp_path / "out", **flags)
    lines = list(model.lines(5, "some words\nmi", new=True, rng_seed=1, unknown="skip"))
    assert len(lines) == 5
    assert all(line.startswith("mi") and "\n" not in line for line in lines)
    assert not set(lines) & set(line_file.read_text().split("\n"))


def test_what_cannot_be_is_said_at_once(tiny, tiny_lines, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="had no line break"):
        tiny.lines(3)
    with pytest.raises(UserError, match="--lines 0 must be from 1"):
        tiny_lines.lines(0)
    for name, value in (("greedy", True), ("beam", 3)):
        with pytest.raises(UserError, match=f"--{name} writes one line, always the same"):
            tiny_lines.lines(2, **{name: value})
    assert len(list(tiny_lines.lines(1, greedy=True))) == 1
    with pytest.raises(UserError, match="'Q'"):
        tiny_lines.lines(2, "Q")


def test_new_needs_the_text(tmp_path: Path, cache: Path) -> None:
    text = tmp_path / "t.txt"
    text.write_text("one\ntwo\nthree\n" * 9)
    flags = dict(n_layer=0, n_head=1, n_embd=2, max_iters=0, counts_order=3)
    model = letterwise.train(text, lines=True, out=tmp_path / "out", **flags)
    assert "one" not in list(model.lines(20, new=True, rng_seed=1))
    for entry in (cache / "streams").glob("*/*"):
        entry.unlink()
    assert "one" not in list(model.lines(20, new=True, rng_seed=1))  # read again
    for entry in (cache / "streams").glob("*/*"):
        entry.unlink()
    text.write_text("another\n")
    with pytest.raises(UserError, match=r"the text changed since training .* leave out --new"):
        model.lines(3, new=True)
    text.unlink()
    with pytest.raises(UserError, match=r"cannot be read .*t\.txt.* leave out --new"):
        model.lines(3, new=True)
