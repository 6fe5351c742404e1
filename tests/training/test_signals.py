"""Signals: a run is cut between layers, and between parts of what takes long; its state is that after the last whole step."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import running
from tiny_run import FLAGS
from training.steps import flags, same_state

from letterwise.checkpoint.training_state import load_state
from letterwise.training.interruption import Interrupted, Interruption
from letterwise.training.loading import pieces
from letterwise.training.prepare import train

DEEP = dict(n_layer=4, batch_size=2, gradient_accumulation_steps=3, max_iters=12, eval_interval=5, dropout=0.1)


@pytest.fixture(scope="module")
def deep(text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four layers that nothing happened to."""
    out = tmp_path_factory.mktemp("deep") / "o"
    train(flags(text_file, **DEEP), out=str(out))
    return out


@pytest.mark.parametrize("way", ["forward", "backward"])
def test_a_step_is_cut_between_layers(
    text_file: Path, deep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """A signal in the second of four layers: no other layer is computed, and the state is that after the last whole step."""
    from letterwise.model.block import PreNormBlock

    computed, at, forward = [], 4 * 3 * 6 + 4 + 1, PreNormBlock.forward  # of the seventh step, in its second piece

    def seen(*mark: object) -> None:
        computed.append(mark)
        if len([m for m in computed if m[0] == way]) == at + 1:
            os.kill(os.getpid(), signal.SIGTERM)

    def watched(block: PreNormBlock, *arguments: Any) -> Any:
        output = forward(block, *arguments)
        if block.training and output.requires_grad:
            seen("forward")
            output.register_hook(lambda gradient: seen("backward"))
        return output

    monkeypatch.setattr(PreNormBlock, "forward", watched)
    with pytest.raises(Interrupted, match="stopped after step 6; the state after step 6 is saved"):
        train(flags(text_file, **DEEP), out=str(tmp_path / "cut"))
    assert len([m for m in computed if m[0] == way]) == at + 1
    monkeypatch.setattr(PreNormBlock, "forward", forward)
    train({}, out=str(tmp_path / "cut"), resume=True)
    same_state(tmp_path / "cut", deep)


@pytest.mark.parametrize("place", ["probe", "validation", "baselines", "sample", "counts of a step"])
def test_what_takes_long_with_a_large_vocabulary_is_cut(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """A signal comes the second time (in the probe, the first) that something is done, and it is not done again."""
    from letterwise.data import batches
    from letterwise.evaluation import baseline, evaluate, passes
    from letterwise.inference.engine import Engine
    from letterwise.ngrams.cross_fit import CrossFitted

    done, at = [0], 1 if place == "probe" else 2
    monkeypatch.setattr(passes, "NUMBERS_IN_FLIGHT", {"cpu": 1})  # a window at a time
    monkeypatch.setattr(baseline, "WINDOWS", 1)
    monkeypatch.setattr(pieces, "NUMBERS_AT_ONCE", 1)

    def signalling(function: Callable) -> Callable:
        def signals(*arguments: Any, **options: Any) -> Any:
            done[0] += 1
            if done[0] == at:
                os.kill(os.getpid(), signal.SIGTERM)
            return function(*arguments, **options)

        return signals

    def sweep(*arguments: Any, **options: Any) -> Any:
        yield from map(signalling(lambda windows: windows), batches.sweep(*arguments, **options))

    if place in ("probe", "validation"):
        monkeypatch.setattr(evaluate, "total_nats", signalling(evaluate.total_nats))
    elif place == "baselines":
        monkeypatch.setattr(baseline, "sweep", sweep)
    elif place == "sample":
        monkeypatch.setattr(Engine, "step", signalling(Engine.step))
    else:
        monkeypatch.setattr(CrossFitted, "log_probs_at", signalling(CrossFitted.log_probs_at))
    asked = flags(text_file, **({"eval_chars": 2000} if place == "validation" else {}))  # then there is no probe
    with pytest.raises(Interrupted, match="stopped after step 0; the state after step 0 is saved"):
        train(asked, out=str(tmp_path / "o"))
    assert done == [at]


def test_what_a_signal_waits_for_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from letterwise.training import interruption

    monkeypatch.setattr(interruption, "PATIENCE_S", 0.0)
    said = threading.Event()
    with interruption.Interruption(lambda text: said.set()) as asked:
        os.kill(os.getpid(), signal.SIGTERM)
        assert said.wait(60)
        assert asked.asked == signal.SIGTERM
    quiet: list[str] = []
    monkeypatch.setattr(interruption, "PATIENCE_S", 3600.0)
    with interruption.Interruption(quiet.append):
        os.kill(os.getpid(), signal.SIGTERM)
    assert quiet == []


def test_ctrl_c_saves_and_says_how_to_go_on(text_file: Path, tmp_path: Path) -> None:
    """In a process as people start it; other signals are in tests/faults."""
    small = [f"--{name}={value}" for name, value in {**FLAGS, "max_iters": 100_000}.items()]
    with running("train", "--input_file", text_file, "--out", tmp_path / "o", *small) as run:
        for line in run.stderr:
            if b"val" in line and b"nats" in line:  # it is under way
                break
        run.send_signal(signal.SIGINT)
        told = run.communicate(timeout=300)[1].decode()
    assert run.returncode == 130
    assert "--resume" in told
    assert "Traceback" not in told
    assert f"the state after step {load_state(tmp_path / 'o/state.safetensors').step} is saved" in told


def test_one_of_several_processes_may_be_asked_twice() -> None:
    """Slurm asks each process, and torchrun, which is one of them, asks again: the run is still saved."""
    with Interruption(alone=False) as interruption:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        interruption.check()
        with pytest.raises(Interrupted):
            interruption.heed(interruption.asked)
    assert interruption.asked == signal.SIGTERM
