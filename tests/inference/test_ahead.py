"""Ahead: what is compiled before anybody writes or scores is what that asks for, no less and no more."""

from types import SimpleNamespace
from typing import Any

import pytest

import letterwise
from letterwise.compiling import entry
from letterwise.data.batches import cut
from letterwise.inference.constraints.limits import Limits
from letterwise.inference.cpu import ahead, decode, scoring
from letterwise.inference.generate import generate
from letterwise.inference.sampling.sampler import Sampler
from letterwise.ngrams import reader


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """As if nothing were compiled yet: what another process is asked to compile, by name and kinds of arguments."""
    found: list[tuple[str, str]] = []

    def ask(module: str, name: str, kinds: tuple[Any, ...]) -> SimpleNamespace:
        found.append((f"{module}.{name}", str(kinds)))
        return SimpleNamespace(over=False)

    monkeypatch.setattr(entry, "MEANWHILE", True)
    monkeypatch.setattr(entry, "ask", ask)
    fresh = entry.Entry(decode.decode.function, None, decode.decode.options)
    monkeypatch.setattr(decode, "decode", fresh)
    begin, score_windows = reader.begin_from_python, scoring.score_windows
    monkeypatch.setattr(reader, "begin_from_python", entry.Entry(begin.function, None, begin.options))
    monkeypatch.setattr(scoring, "score_windows", entry.Entry(score_windows.function, None, score_windows.options))
    for each in (fresh, reader.begin_from_python, scoring.score_windows):
        monkeypatch.setattr(each, "path", lambda kinds: SimpleNamespace(exists=lambda: False))
    return found


def test_what_writing_asks_for_is_there_before(asked: list[tuple[str, str]], tiny) -> None:
    """Past the context, where a window begins anew."""
    ahead.begin()
    before = asked.copy()
    asked.clear()
    for each in (decode.decode, reader.begin_from_python, scoring.score_windows):
        each.job = None
    model = letterwise.load(tiny.run_dir / "model.safetensors", device="cpu")
    backend = model.compiled
    generate(
        backend,
        tiny.vocabulary,
        "The cat sat on the mat. The dog s",
        sampler=Sampler(),
        limits=Limits(num_tokens=2),
        rng_seeds=[1],
    ).texts()
    ids = tiny.vocabulary.encode("The cat sat on the mat.")
    assert model.window_scorer.nats(ids, cut(ids, 8, 0)) is None
    assert sorted(before) == sorted(asked)
    assert len(before) == 3


def test_where_no_other_process_can_compile_it_is_left_to_who_writes(asked: list[tuple[str, str]], monkeypatch: Any) -> None:
    monkeypatch.setattr(entry, "MEANWHILE", False)
    monkeypatch.setattr(decode, "decode", lambda *arguments: pytest.fail("it was compiled all the same"))
    ahead.begin()
    assert asked == []
