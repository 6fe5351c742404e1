"""Prefetch: a thread prepares the same pieces; it ends when the run does, and what goes wrong in it is the run's error."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from training.steps import flags, same_state

from letterwise.errors import UserError
from letterwise.ngrams.cross_fit import CrossFitted
from letterwise.training import trainer
from letterwise.training.loading import prefetch
from letterwise.training.loading.pieces import Check, Piece
from letterwise.training.loading.prefetch import AHEAD, prefetched
from letterwise.training.metrics import record
from letterwise.training.prepare import train

CPU, PIECES = torch.device("cpu"), 3  # pieces of a step


@pytest.fixture(autouse=True)
def also_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a GPU; afterwards, no thread is left."""
    monkeypatch.setattr(prefetch, "WHEN_TAKEN", set())
    yield
    assert "prefetch" not in {thread.name for thread in threading.enumerate()}


def numbered(step: int, nth: int) -> Piece:
    ids = torch.tensor([[step, nth]])
    return Piece(ids, ids, None, None, torch.tensor(1.0), nth == PIECES - 1)


def steps_of(pieces: Iterator[Piece]) -> list[list[int]]:
    return [piece.inputs[0].tolist() for piece in pieces]


def test_pieces_come_in_order_also_after_going_back_and_giving_up() -> None:
    def made(step: int, check: Check) -> Iterator[Piece]:
        yield from (numbered(step, nth) for nth in range(PIECES))

    with prefetched(made, CPU) as pieces:
        for step in (0, 1, 2, 1, 2, 7):
            assert steps_of(pieces(step, lambda: None)) == [[step, nth] for nth in range(PIECES)]
        given_up = pieces(8, lambda: None)
        next(given_up)
        assert steps_of(pieces(8, lambda: None)) == [[8, nth] for nth in range(PIECES)]


def test_it_prepares_only_a_few_ahead() -> None:
    made_so_far, many = [0], threading.Event()

    def made(step: int, check: Check) -> Iterator[Piece]:
        for nth in range(PIECES):
            made_so_far[0] += 1
            if made_so_far[0] > 1 + AHEAD + 1:  # one was taken, so many wait, and one is on its way
                many.set()
            yield numbered(step, nth)

    with prefetched(made, CPU) as pieces:
        taken = pieces(0, lambda: None)
        next(taken)
        assert not many.wait(5 * prefetch.POLL_S)
        next(taken)
        assert many.wait(60), "it goes on when there is room"


def test_a_signal_is_heard_while_waiting_and_in_the_thread() -> None:
    begun = threading.Event()

    def made(step: int, check: Check) -> Iterator[Piece]:
        while not begun.wait(0.01) or step >= 0:
            begun.set()
            check()  # which ends it, as nothing else does
        yield numbered(step, 0)

    def signalled() -> None:
        assert begun.wait(60)
        raise KeyboardInterrupt

    with prefetched(made, CPU) as pieces, pytest.raises(KeyboardInterrupt):
        next(pieces(0, signalled))


def test_a_run_is_the_same(text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from training.steps import Listener

    from letterwise.training.interruption import Interrupted

    wanted = flags(text_file, max_iters=24, eval_interval=12, warmup_iters=2, gradient_accumulation_steps=2, dropout=0.1)
    with pytest.raises(Interrupted, match="after step 10"):
        train(wanted, out=str(tmp_path / "ahead"), progress=Listener(stop_at=10))
    train({}, out=str(tmp_path / "ahead"), resume=True)
    monkeypatch.setattr(prefetch, "WHEN_TAKEN", {"cpu"})
    train(wanted, out=str(tmp_path / "when taken"))
    same_state(tmp_path / "ahead", tmp_path / "when taken")


def test_what_goes_wrong_in_the_thread_goes_wrong_in_the_run(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, log_probs_at = [0], CrossFitted.log_probs_at

    def failing(*arguments: Any, **options: Any) -> Any:
        asked[0] += 1
        if asked[0] == 5:
            raise UserError(f"no more, in {threading.current_thread() is threading.main_thread()}")
        return log_probs_at(*arguments, **options)

    monkeypatch.setattr(CrossFitted, "log_probs_at", failing)
    with pytest.raises(UserError, match="no more, in False"):
        train(flags(text_file), out=str(tmp_path / "o"))


def test_a_step_between_looks_asks_nothing_of_its_device(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever brings a number to the processor makes a GPU wait: it happens when something is shown, written or saved."""
    asked, counted, steps = list[str](), [False], [0]
    for module, name in ((trainer, "PROGRESS_S"), (record, "READ_S")):
        monkeypatch.setattr(module, name, float("inf"))
    monkeypatch.setattr(trainer, "PROGRESS_STEPS", 10**6)

    def noted(name: str, method: Any) -> Any:
        def asks(*arguments: Any, **options: Any) -> Any:
            if counted[0] and threading.current_thread() is threading.main_thread():
                asked.append(name)
            return method(*arguments, **options)

        return asks

    for name in ("item", "tolist", "cpu", "numpy", "nonzero", "__bool__", "__int__", "__float__", "__index__"):
        monkeypatch.setattr(Tensor, name, noted(name, getattr(Tensor, name)))
    take_step = trainer.Trainer.take_step

    def watched(self: trainer.Trainer, check: Check) -> None:
        counted[0] = True
        try:
            take_step(self, check)
        finally:
            counted[0] = False
        steps[0] += 1

    monkeypatch.setattr(trainer.Trainer, "take_step", watched)
    train(flags(text_file, max_iters=12, eval_interval=6, warmup_iters=2, grad_clip=1.0), out=str(tmp_path / "o"))
    assert (steps[0], asked) == (12, [])
