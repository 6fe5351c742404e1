"""Faults: full disks, limits, signals, closed terminals, two trainers, too little memory: each ends as promised."""

import contextlib
import itertools
import os
import resource
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from forked import paused, pausing
from runs import SHAPE, command, ended, environment, essence, finished, in_python, start, text_file, under_way, until
from states import steps_kept

from letterwise.checkpoint.training_state import load_state, save_state
from letterwise.progress import Progress
from letterwise.training.interruption import Interrupted
from letterwise.training.prepare import train
from letterwise.training.trainer import Trainer

FLAGS = dict(preset="classic", max_iters=120, eval_interval=60, save_interval=20)
BEGUN, LATER = 45, 90  # steps after which a run waits for what is done to it
KEPT = []  # memory that a poor process holds


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The text, and what a run comes to that nothing happens to, and that is no fork."""
    folder = tmp_path_factory.mktemp("whole")
    text = text_file(folder)
    subprocess.run(in_python(command(folder / "o", text=text, **FLAGS)), env=environment(), capture_output=True, check=True)
    return text, essence(folder / "o")


def begun(out: Path, text: Path, deaf: int | None = None) -> subprocess.Popen:
    """A run that learns, and has kept its state twice; it waits, and will wait once more. It is deaf to a signal, perhaps."""

    def before() -> None:
        pausing(BEGUN, LATER)()
        if deaf:
            signal.signal(deaf, signal.SIG_IGN)

    process = start(command(out, text=text, **FLAGS), before=before)
    paused(process)
    return process


def goes_on(process: subprocess.Popen) -> None:
    """From one place where it waits to the other, and on."""
    process.send_signal(signal.SIGCONT)
    paused(process)
    process.send_signal(signal.SIGCONT)


def ends_well(process: subprocess.Popen, out: Path, wanted: dict[str, str]) -> None:
    """It comes to its own end, and to what undisturbed runs come to."""
    ended(process)
    assert essence(out) == wanted


def ended_by(process: subprocess.Popen, number: int) -> str:
    """What it says after a signal, which ends it within 5 seconds of processor time."""
    others, before = resource.getrusage(resource.RUSAGE_CHILDREN), processor_s(process.pid)
    process.send_signal(number)
    process.send_signal(signal.SIGCONT)  # if it waits
    told = process.communicate(timeout=1800)[1]
    whole = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert whole.ru_utime + whole.ru_stime - others.ru_utime - others.ru_stime - before < 5
    return told


def processor_s(pid: int) -> float:
    """Processor time of a process so far (man 5 proc, `stat`)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def limit(process: subprocess.Popen, size: int) -> None:
    """From now on the process can write files of so many bytes only: a real error of the system at each larger write."""
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_a_disk_that_is_full_for_a_while_costs_nothing(whole, tmp_path: Path) -> None:
    text, wanted = whole
    process = begun(tmp_path / "o", text)
    limit(process, 4096)
    process.send_signal(signal.SIGCONT)
    told = under_way(process, "The run goes on; what is saved is its state after step")
    assert "cannot write" in told
    assert "File too large" in told
    paused(process)
    limit(process, resource.RLIM_INFINITY)
    process.send_signal(signal.SIGCONT)
    ends_well(process, tmp_path / "o", wanted)
    assert list((tmp_path / "o").glob("*.tmp-*")) == []


def test_a_disk_that_stays_full_ends_in_a_sentence_and_the_run_can_go_on(whole, tmp_path: Path) -> None:
    text, wanted = whole
    process = begun(tmp_path / "o", text)
    limit(process, 4096)
    goes_on(process)
    last = ended(process, code=2).splitlines()[-1]
    assert "came to its end, but cannot write" in last
    kept = steps_kept(tmp_path / "o")
    assert f"its state after step {kept} is in {str(tmp_path / 'o')!r}" in last
    assert 0 < kept < FLAGS["max_iters"]
    finished(command(tmp_path / "o", resume=True))
    assert essence(tmp_path / "o") == wanted


def test_a_small_disk_really_fills_up(whole, tmp_path: Path) -> None:
    """On a file system of its own, where that may be made."""
    text, wanted = whole
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    try:
        process = begun(disk / "o", text)
        with (disk / "filler").open("wb", buffering=0) as filler:
            with contextlib.suppress(OSError):
                while filler.write(bytes(4096)):
                    pass
            assert shutil.disk_usage(disk).free == 0
        process.send_signal(signal.SIGCONT)
        told = under_way(process, "The run goes on")
        assert "No space left on device" in told
        paused(process)
        (disk / "filler").unlink()
        process.send_signal(signal.SIGCONT)
        ends_well(process, disk / "o", wanted)
    finally:
        subprocess.run(["umount", "-l", disk], check=False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_becomes_read_only(whole, tmp_path: Path) -> None:
    text, wanted = whole
    process = begun(tmp_path / "o", text)
    (tmp_path / "o").chmod(0o500)
    process.send_signal(signal.SIGCONT)
    assert "Permission denied" in under_way(process, "The run goes on")
    paused(process)
    (tmp_path / "o").chmod(0o700)
    process.send_signal(signal.SIGCONT)
    ends_well(process, tmp_path / "o", wanted)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_ends_the_run_within_seconds_and_it_goes_on_exactly(whole, tmp_path: Path, number: int) -> None:
    text, wanted = whole
    process = begun(tmp_path / "o", text)
    told = ended_by(process, number)
    assert process.returncode == 128 + number, told
    assert f"the state after step {steps_kept(tmp_path / 'o')} is saved" in told
    assert "--resume" in told
    finished(command(tmp_path / "o", resume=True))
    assert essence(tmp_path / "o") == wanted


def test_a_signal_during_a_long_validation_ends_it(tmp_path: Path) -> None:
    """Validating the first row alone would take far longer than the 5 seconds that a signal may."""
    text = text_file(tmp_path)
    (tmp_path / "long.txt").write_text(text.read_text() * 1_500)
    flags = dict(preset="classic", max_iters=40, eval_interval=20, save_interval=20, val_file=tmp_path / "long.txt")
    process = start(command(tmp_path / "o", text=text, **flags))
    until(lambda: steps_kept(tmp_path / "o") == 20)
    time.sleep(0.5)
    assert process.poll() is None
    told = ended_by(process, signal.SIGTERM)
    assert process.returncode == 143, told
    state = load_state(tmp_path / "o/state.safetensors")
    assert (state.step, state.rows) == (20, [])  # the step is kept, and its validation still to come
    finished(command(tmp_path / "o", resume=True, eval_chars=2_000))
    assert [row["step"] for row in load_state(tmp_path / "o/state.safetensors").rows] == [20, 40]


def test_a_second_signal_ends_it_at_once_without_damage(whole, tmp_path: Path) -> None:
    text, wanted = whole
    process = begun(tmp_path / "o", text)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=1800)
    assert process.returncode in (-signal.SIGTERM, 128 + signal.SIGTERM)
    finished(command(tmp_path / "o", resume=True))
    assert essence(tmp_path / "o") == wanted


def test_nobody_reading_is_no_reason_to_stop(whole, tmp_path: Path) -> None:
    text, wanted = whole
    words = in_python(command(tmp_path / "o", text=text, **FLAGS))
    read, written = os.pipe()
    process = subprocess.Popen(words, stdout=written, stderr=written, env=environment())
    os.close(written)
    os.read(read, 10)
    os.close(read)  # as `| head -c 10` does
    assert process.wait(timeout=1800) == 0
    assert essence(tmp_path / "o") == wanted


def test_under_nohup_a_closed_terminal_is_not_even_noticed(whole, tmp_path: Path) -> None:
    text, wanted = whole
    process = begun(tmp_path / "o", text, deaf=signal.SIGHUP)  # what nohup does
    process.send_signal(signal.SIGHUP)
    goes_on(process)
    ends_well(process, tmp_path / "o", wanted)


def test_a_second_trainer_in_the_same_directory_is_refused(whole, tmp_path: Path) -> None:
    text, wanted = whole
    process = begun(tmp_path / "o", text)
    for second in (command(tmp_path / "o", resume=True), [*command(tmp_path / "o", text=text, **FLAGS), "--overwrite"]):
        assert "another process trains in" in finished(second, code=2)
    goes_on(process)
    ends_well(process, tmp_path / "o", wanted)


def test_a_copied_run_directory_goes_on_elsewhere(whole, tmp_path: Path) -> None:
    text, wanted = whole
    process = begun(tmp_path / "here", text)
    process.kill()
    process.communicate()
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    finished(command(tmp_path / "there", resume=True))
    assert essence(tmp_path / "there") == wanted
    assert not (tmp_path / "here/model.safetensors").exists() or steps_kept(tmp_path / "here") < FLAGS["max_iters"]


def test_a_finished_run_says_so(whole, tmp_path: Path) -> None:
    text, _ = whole
    finished(command(tmp_path / "o", text=text, preset="classic", max_iters=10))
    assert "this run is finished, after step 10" in finished(command(tmp_path / "o", resume=True))
    assert "this run is finished" not in finished(command(tmp_path / "o", resume=True, max_iters=20))


def poor(spare: int) -> None:
    """From now on this process gets so many bytes more, whatever it has freed before: that is taken again, and kept."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken, resource.RLIM_INFINITY))
    for size in (2**bits for bits in range(36, 21, -1)):
        with contextlib.suppress(RuntimeError):
            while True:
                KEPT.append(torch.empty(size, dtype=torch.uint8))
    resource.setrlimit(resource.RLIMIT_AS, (taken + spare, taken + spare))


def test_too_little_memory_is_a_sentence(tmp_path: Path) -> None:
    """A quarter of a GB beside what the process has taken, of which the weights alone want 0.4."""
    words = command(tmp_path / "o", text=text_file(tmp_path), n_embd=2048, n_layer=2)
    told = finished(words, code=2, before=lambda: poor(2**28))
    assert "out of memory: 2 layers of width 2048" in told
    assert "lower --batch_size" in told
    assert "--resume" not in told
    assert not (tmp_path / "o/state.safetensors").exists()


def test_memory_that_runs_out_later_leaves_a_state_from_which_the_run_goes_on(whole, tmp_path: Path) -> None:
    """A step that wants 32 TB of the 16 that there are."""
    text, wanted = whole
    take_step = Trainer.take_step

    def greedy(trainer: Trainer, *arguments: Any) -> None:
        take_step(trainer, *arguments)
        if trainer.run.step == BEGUN:
            torch.empty(2**45, dtype=torch.uint8)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2**44, 2**44))
        Trainer.take_step = greedy

    told = finished(command(tmp_path / "o", text=text, **FLAGS), code=2, before=limited)
    assert "out of memory: 1 layers of width 16" in told
    assert "The state after step 40 is saved: --resume goes on from it" in told
    assert steps_kept(tmp_path / "o") == 40
    finished(command(tmp_path / "o", resume=True, activation_checkpointing=True))
    assert essence(tmp_path / "o") == wanted


class StopAt(Progress):
    """Asks the run to stop when it looks at its loss at a step."""

    def __init__(self, step: int = 0) -> None:
        self.at, self.notes = step, []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def step(self, step: int, *more: float) -> None:
        if step == self.at:
            os.kill(os.getpid(), signal.SIGINT)


def test_with_another_number_of_threads_it_goes_on_and_says_what_that_means(tmp_path: Path) -> None:
    flags = {**SHAPE, "preset": "classic", "input_file": (str(text_file(tmp_path)),), "max_iters": 40, "eval_interval": 20}
    train(flags, out=str(tmp_path / "one"))
    with pytest.raises(Interrupted):
        train(flags, out=str(tmp_path / "two"), progress=StopAt(20))
    told = StopAt()
    try:
        train({"threads": 2}, out=str(tmp_path / "two"), resume=True, progress=told)
    finally:
        torch.set_num_threads(1)
    assert any("1 CPU threads" in note and "2 CPU threads" in note and "no longer the same" in note for note in told.notes)
    one, two = (load_state(tmp_path / name / "state.safetensors").rows[-1]["val_nats_per_char"] for name in ("one", "two"))
    assert one == pytest.approx(two, abs=0.02)


def test_clock_jumps_do_not_touch_the_minutes(tmp_path: Path) -> None:
    """The wall clock leaps a day ahead at every look; only the monotonic one is asked."""

    def leaping() -> None:
        days = itertools.count(time.time(), 86_400)
        time.time = lambda: next(days)

    finished(command(tmp_path / "o", text=text_file(tmp_path), preset="classic", minutes=0.05), before=leaping)
    assert 1.5 < load_state(tmp_path / "o/state.safetensors").seconds < 80_000  # three, on a busy machine more: no day


def test_a_state_cannot_send_the_model_elsewhere(tmp_path: Path) -> None:
    flags = {**SHAPE, "preset": "classic", "input_file": (str(text_file(tmp_path)),), "max_iters": 10}
    train(flags, out=str(tmp_path / "a/b/o"))
    path = tmp_path / "a/b/o/state.safetensors"
    for away in ("../../../elsewhere.pth", str(tmp_path / "elsewhere.safetensors"), "model.txt"):
        save_state(path, replace(load_state(path), model_path=away))
        assert "name that file again with --model_path" in finished(command(tmp_path / "a/b/o", resume=True), code=2)
    train({}, out=str(tmp_path / "a/b/o"), model_path=str(tmp_path / "asked.pth"), resume=True)
    assert (tmp_path / "asked.pth").exists()


def test_a_link_laid_in_the_way_is_replaced_and_not_followed(tmp_path: Path) -> None:
    flags = {**SHAPE, "preset": "classic", "input_file": (str(text_file(tmp_path)),), "max_iters": 10}
    (tmp_path / "o").mkdir()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    for name in ("model.safetensors", "metrics.jsonl", "report.html"):
        (tmp_path / "o" / f"{name}.tmp-{os.getpid()}").symlink_to(victim)
        (tmp_path / "o" / name).symlink_to(victim)
    train(flags, out=str(tmp_path / "o"), overwrite=True)
    assert victim.read_text() == "precious"
    assert not (tmp_path / "o/model.safetensors").is_symlink()
