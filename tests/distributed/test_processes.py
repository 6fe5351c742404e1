"""Processes: two and four of them learn what one does, write one run, and end as one; real ones, on gloo."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from states import steps_kept
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torchrun import FLAGS, ROOT, environment, letterwise_processes, together, torchrun

from letterwise.checkpoint import load_model
from letterwise.checkpoint.training_state import load_state
from letterwise.distributed import launch as launching
from letterwise.distributed.environment import ATTEMPT, LOST
from letterwise.training.prepare import train

PLAIN = {**FLAGS, "schedule": "constant", "lookahead": 0.0}  # the same steps, however many there will be
CLOSE = dict(rtol=0, atol=1e-4)


def same_run(a: Path, b: Path) -> None:
    """The same curve, validations and weights, as nearly as sums in another order can be."""
    one, other = (load_state(path / "state.safetensors") for path in (a, b))
    assert (one.step, len(one.rows)) == (other.step, len(other.rows))
    for key in ("val_nats_per_char", "train_nats_per_char"):
        pairs = [(mine[key], theirs[key]) for mine, theirs in zip(one.rows, other.rows, strict=True) if mine[key] is not None]
        np.testing.assert_allclose(*zip(*pairs, strict=True), **CLOSE)
    losses = [[row["loss"] for row in state.record if "loss" in row] for state in (one, other)]
    np.testing.assert_allclose(*losses, **CLOSE)
    for name, weight in one.weights.items():
        np.testing.assert_allclose(weight, other.weights[name], **CLOSE, err_msg=name)
    one_model, other_model = (load_model(path / "model.safetensors") for path in (a, b))
    assert one_model.vocabulary == other_model.vocabulary
    assert one_model.data["fingerprint"] == other_model.data["fingerprint"]
    assert one_model.weights.keys() == other_model.weights.keys()


def all_well(ended: list[tuple[int, str, str]]) -> None:
    """That all processes ended with 0. Who ends first by no fault of its own does not hide whose fault it was."""
    assert not any(code for code, _, _ in ended), "\n".join(f"ended with {code}: {said}" for code, _, said in ended)


@pytest.fixture(scope="module")
def alone(text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process."""
    out = tmp_path_factory.mktemp("alone") / "run"
    train({**PLAIN, "input_file": (str(text_file),)}, out=str(out))
    return out


def test_two_processes_learn_what_one_does(text_file: Path, tmp_path: Path) -> None:
    """With all that preset fast has, batches in two pieces, and rows that two do not share evenly."""
    wanted = {**FLAGS, "batch_size": 5, "gradient_accumulation_steps": 3}
    train({**wanted, "input_file": (str(text_file),)}, out=str(tmp_path / "one"))
    done = torchrun(
        2, {**wanted, "input_file": text_file, "out": tmp_path / "two", "json": True, "activation_checkpointing": True}
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["iters"] == FLAGS["max_iters"], "one line, of one process"
    assert done.stderr.count("fast nano: ") == 1
    assert "2 processes of 1 CPU threads" in done.stderr
    same_run(tmp_path / "one", tmp_path / "two")


def test_two_processes_and_one_that_takes_two_pieces_are_the_same_to_the_bit(text_file: Path, tmp_path: Path) -> None:
    """Then the same numbers are added up in the same order, so that what amplifies rounding has none to amplify."""
    wanted = {**FLAGS, "batch_size": 3, "gradient_accumulation_steps": 2, "max_iters": 8}
    train({**wanted, "input_file": (str(text_file),)}, out=str(tmp_path / "one"))
    all_well(together(2, {**wanted, "input_file": text_file, "out": tmp_path / "two"}))
    one, two = (load_state(tmp_path / name / "state.safetensors") for name in ("one", "two"))
    assert [row["val_nats_per_char"] for row in one.rows] == [row["val_nats_per_char"] for row in two.rows]
    for part in ("weights", "optimizers"):
        for name, array in getattr(one, part).items():
            np.testing.assert_array_equal(array, getattr(two, part)[name], err_msg=name)


def validations(out: Path) -> dict[int, float]:
    """Nats by step."""
    return {row["step"]: row["val_nats_per_char"] for row in load_state(out / "state.safetensors").rows}


@pytest.mark.parametrize("optimizer", ["muon", "adafactor"])
def test_a_run_goes_on_with_another_number_of_processes(optimizer: str, text_file: Path, alone: Path, tmp_path: Path) -> None:
    """Two with a share of the weights each, then one, then four with shares again, as one from the beginning."""
    out, wanted = tmp_path / "run", {**PLAIN, "optimizer": optimizer}
    if optimizer != "muon":
        alone = tmp_path / "alone"
        train({**wanted, "input_file": (str(text_file),)}, out=str(alone))
    shares = {"max_iters": 7, "parallel": "fsdp", "activation_checkpointing": True}
    all_well(together(2, {**wanted, "input_file": text_file, "out": out, **shares}))
    assert {len([*shards.iterdir()]) for shards in out.glob("shards-*")} == {2}, "each process has written its own"
    train({"max_iters": 15}, out=str(out), resume=True)
    assert not [*out.glob("shards-*")], "one process writes one file"
    codes, _, said = zip(*together(4, {"out": out, "resume": True, "max_iters": FLAGS["max_iters"]}), strict=True)
    assert not any(codes), said
    assert ["no longer the same to the last bit" in each for each in said] == [True, False, False, False]
    one, other = (load_state(path / "state.safetensors") for path in (alone, out))
    assert one.step == other.step
    for part in ("weights", "optimizers"):
        for name, array in getattr(one, part).items():
            np.testing.assert_allclose(array, getattr(other, part)[name], **CLOSE, err_msg=name)
    common = validations(alone)
    assert common.keys() <= validations(out).keys()
    np.testing.assert_allclose([validations(out)[step] for step in common], [*common.values()], **CLOSE)


def test_lines_are_validated_in_shares_as_in_one_piece(line_file: Path, tmp_path: Path) -> None:
    """Where processes read batches of other numbers and lengths, all still take part as often."""
    wanted = {**PLAIN, "lines": True, "block_size": 8, "max_iters": 2, "warmup_iters": 1, "eval_interval": 1}
    train({**wanted, "input_file": (str(line_file),)}, out=str(tmp_path / "one"))
    all_well(together(3, {**wanted, "input_file": line_file, "out": tmp_path / "three", "parallel": "fsdp"}))
    same_run(tmp_path / "one", tmp_path / "three")
    one, three = (load_state(tmp_path / name / "state.safetensors").rows for name in ("one", "three"))
    assert [row["sample"] for row in one] == [row["sample"] for row in three]


def test_more_processes_than_sequences_are_refused_in_one_sentence(text_file: Path, tmp_path: Path) -> None:
    """Said by one, though all find it out."""
    flags = {**PLAIN, "input_file": text_file, "out": tmp_path / "run", "batch_size": 1}
    codes, out, said = zip(*together(2, flags), strict=True)
    assert codes == (2, 2), said
    assert out == ("", "")
    assert [line for each in said for line in each.splitlines() if line.startswith("letterwise: ")] == [
        "letterwise: 2 processes have 1 sequence a step to share: start 1 at most, or raise --batch_size."
    ]
    assert "Traceback" not in "".join(said)
    assert not (tmp_path / "run").exists()


def test_the_exit_code_of_all_is_that_of_the_first_to_end_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose fault it is that the others were ended. Where one was killed, all begin again, and again only so often."""
    attempts = [{0: -signal.SIGTERM, 1: -signal.SIGKILL}, {0: LOST, 1: -signal.SIGKILL}, {0: -signal.SIGTERM, 1: 2}]
    notes = list[str]()

    def attempt(codes: dict[int, int]) -> NoReturn:
        failures = {rank: ProcessFailure(rank, 0, code, "") for rank, code in codes.items()}
        raise ChildFailedError("letterwise", failures)

    monkeypatch.setattr(launching, "elastic_launch", lambda *_: lambda *_: attempt(attempts.pop(0)))
    for name in (ATTEMPT, "OMP_NUM_THREADS", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE"):
        monkeypatch.setenv(name, "1")  # and as it was, afterwards
    assert launching.launch(["train"], 2, notes.append) == 2
    assert notes == ["process 1 was ended by SIGKILL: starting all 2 again, from what was saved."] * 2
    attempts += [{0: -signal.SIGKILL}] * 100
    assert launching.launch(["train"], 2, notes.append) == 1
    assert "processes were killed 11 times in a row" in notes[-1]


@contextmanager
def started(flags: dict[str, object]) -> Iterator[subprocess.Popen[str]]:
    """`letterwise train --processes 2`, which Ctrl-C reaches. Whatever goes wrong in the test, nothing of it is left."""
    process = subprocess.Popen(
        letterwise_processes(2, flags), cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            for pid in (*children(process.pid), process.pid) if process.poll() is None else ():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def wait_for(process: subprocess.Popen[str], word: str) -> None:
    """Read what it says until it says this."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        if word in line:
            return
        said.append(line)
    pytest.fail(f"it ended without saying {word!r}: {''.join(said)}")


def children(pid: int) -> list[int]:
    """Processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_ctrl_c_saves_and_ends_all(text_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with started({**PLAIN, "input_file": text_file, "out": out, "max_iters": 100_000}) as process:
        wait_for(process, "step 12/")
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=300)[1]
    assert process.returncode == 128 + signal.SIGINT
    assert said.count("the same command with --resume goes on from there") == 1
    assert f"stopped after step {load_state(out / 'state.safetensors').step};" in said


def test_a_killed_process_changes_nothing(text_file: Path, tmp_path: Path) -> None:
    """Each is killed once; all are started again, go on, and get to where two that nobody disturbed get, to the bit.

    A signal to one of them, which can be heeded, ends all.
    """
    out, wanted = tmp_path / "run", {**PLAIN, "input_file": text_file, "eval_interval": 100_000}
    with started({**wanted, "out": out, "max_iters": 100_000, "save_interval": 1}) as process:
        for victim in (0, 1):
            wait_for(process, "fast nano: ")
            while steps_kept(out) <= 5 + victim:
                time.sleep(0.2)
            os.kill(children(process.pid)[victim], signal.SIGKILL)
            wait_for(process, "was ended by SIGKILL: starting all 2 again")
        wait_for(process, "fast nano: ")
        before = steps_kept(out)
        while steps_kept(out) <= before:  # from its first step on, it heeds signals
            time.sleep(0.2)
        os.kill(children(process.pid)[-1], signal.SIGTERM)
        said = process.communicate(timeout=300)[1]
    assert process.returncode == 128 + signal.SIGTERM, said
    assert said.count("the same command with --resume goes on from there") == 1
    other = load_state(out / "state.safetensors")
    all_well(together(2, {**wanted, "out": tmp_path / "undisturbed", "max_iters": other.step}))
    one = load_state(tmp_path / "undisturbed" / "state.safetensors")
    assert one.step == other.step
    for part in ("weights", "optimizers"):
        for name, array in getattr(one, part).items():
            np.testing.assert_array_equal(array, getattr(other, part)[name], err_msg=name)
