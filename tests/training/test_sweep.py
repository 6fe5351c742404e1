"""A sweep's trials count once, whoever makes them and is killed; the best is a file that gives its figure again."""

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna", reason="optuna is the extra `sweep`")

from browser import started as browser
from forked import paused, pausing, started
from hypothesis import given
from hypothesis import strategies as st
from in_process import ask, refused
from optuna.trial import TrialState
from steps import Listener

from letterwise.checkpoint.training_state import previous
from letterwise.config.experiment import read_toml
from letterwise.config.presets import asked_values
from letterwise.sweep.search import sweep
from letterwise.sweep.space import as_toml, read_space
from letterwise.sweep.study import Study
from letterwise.training.interruption import Interrupted
from letterwise.training.prepare import train
from letterwise.training.run import TrainingDiverged

FIXED = """
n_layer = 1
n_head = 2
n_embd = 16
block_size = 16
batch_size = 2
max_iters = 6
eval_interval = 2
warmup_iters = 1
counts_order = 0
eval_chars = 400
save_interval = "1"
device = "cpu"
"""
VARY = 'learning_rate = { from = 1e-3, to = 1, log = true }\nactivation = ["relu", "gelu"]'


@pytest.fixture
def space(text_file: Path, tmp_path: Path) -> Callable[..., str]:
    """A small sweep's file."""

    def write(vary: str = VARY, trials: int = 4, more: str = "", fixed: str = FIXED) -> str:
        path = tmp_path / "space.toml"
        path.write_text(
            f"trials = {trials}\n{more}\n[fixed]\ninput_file = {json.dumps(str(text_file))}\n{fixed}\n[vary]\n{vary}"
        )
        path.write_text(path.read_text().replace('input_file = "', 'input_file = ["').replace('.txt"', '.txt"]', 1))
        return str(path)

    return write


def trials_of(space_file: str, folder: Path) -> list[Any]:
    return Study(folder, read_space(space_file)).trials


def figure_of(best: Path, out: Path) -> float | None:
    """What `train --config` comes to."""
    return train(asked_values({}, str(best)), out=str(out)).best_val_nats_per_char


def test_a_sweep_from_beginning_to_end(space: Callable[..., str], tmp_path: Path) -> None:
    folder, heard = tmp_path / "o", Listener()
    answer = ask("sweep", "--space", space(), "--out", folder, "--json")
    assert answer.code == 0, answer
    told = json.loads(answer.stdout)
    trials = trials_of(space(), folder)
    assert [trial.number for trial in trials] == list(range(4))
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert told["best_nats_per_char"] == min(trial.value for trial in trials if trial.state == TrialState.COMPLETE)
    assert len({trial.params["learning_rate"] for trial in trials}) == 4
    assert figure_of(folder / "best.toml", tmp_path / "again") == told["best_nats_per_char"]

    again = sweep(space(), str(folder), progress=heard)
    assert again.best_nats_per_char == told["best_nats_per_char"]
    assert not [note for note in heard.notes if note.startswith("trial")]
    assert sum(sweep(space(trials=5), str(folder)).trials.values()) == 5
    assert "only `trials` may change" in refused("sweep", "--space", space("dropout = [0.0, 0.1]"), "--out", folder)
    shown = ask("sweep", "--space", space(trials=5), "--out", folder).stdout
    assert f"train --config {folder}/best.toml" in shown


def test_a_killed_trial_is_made_by_who_is_left_and_counts_once(space: Callable[..., str], tmp_path: Path) -> None:
    """Two processes; the first is killed in the middle of its trial, after the second has begun to wait for it."""
    folder, words = tmp_path / "o", ["sweep", "--space", space(), "--out", str(tmp_path / "o")]
    first = started(words, before=pausing(3))
    paused(first)
    second = started(words, stderr=-1, stdout=-1, text=True)
    for line in second.stderr:
        if line.startswith("waiting for trial 1"):
            break
    assert [trial.state == TrialState.RUNNING for trial in trials_of(space(), folder)] == [True, False, False, False]
    first.send_signal(signal.SIGKILL)
    first.wait()
    told = second.communicate()[1]
    assert second.returncode == 0, told
    trials = trials_of(space(), folder)
    assert [trial.number for trial in trials] == list(range(4))
    assert all(trial.state.is_finished() for trial in trials)
    journal = [json.loads(line) for line in (folder / "journal.log").read_text().splitlines()]
    assert len([entry for entry in journal if entry["op_code"] == 4]) == 4  # CREATE_TRIAL
    alone = train({**read_space(space()).fixed, **trials[0].params}, out=str(tmp_path / "alone"))
    assert trials[0].value == alone.best_val_nats_per_char  # it went on from what was saved
    assert len(list((folder / "trials").glob("*/metrics.jsonl"))) == 4


@pytest.mark.parametrize("newest", [True, False])
def test_an_interrupted_trial_goes_on(
    space: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newest: bool
) -> None:
    """Also where a process was killed before the new state took the old one's place."""
    monkeypatch.setattr("letterwise.training.trainer.PROGRESS_STEPS", 1)
    folder = tmp_path / "o"
    with pytest.raises(Interrupted):
        sweep(space(trials=1), str(folder), progress=Listener(stop_at=3))
    (trial,) = trials_of(space(trials=1), folder)
    assert trial.state == TrialState.RUNNING
    if not newest:
        for state in folder.glob("trials/*/state.safetensors"):
            state.replace(previous(state))
    heard = Listener()
    result = sweep(space(trials=1), str(folder), progress=heard)
    assert result.trials == {"complete": 1}
    assert heard.steps[0] == 4
    assert figure_of(folder / "best.toml", tmp_path / "again") == result.best_nats_per_char


def test_a_trial_that_is_worse_than_most_is_given_up(space: Callable[..., str], tmp_path: Path) -> None:
    """Five came to 1 nat, which no real one does after two steps."""
    folder = tmp_path / "o"
    made = Study(folder, read_space(space(trials=6)))
    for _ in range(5):
        claim = made.next(lambda numbers: None)
        assert claim
        assert not made.report(claim, 2, 1.0)
        made.tell(claim, 1.0)
        claim.lock.release()
    heard = Listener()
    told = sweep(space(trials=6), str(folder), progress=heard)
    assert told.trials == {"complete": 5, "pruned": 1}
    assert [row["step"] for row in heard.rows] == [2]
    assert list(made.trials[5].intermediate_values) == [2]
    assert not made.study.get_trials(states=(TrialState.RUNNING,))


def test_values_that_do_not_go_together_and_runs_that_diverge_fail(
    space: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = space("n_head = [2, 4]\nn_embd = [16, 18]", fixed=FIXED.replace("n_head = 2\nn_embd = 16\n", ""), trials=6)
    result = sweep(odd, str(tmp_path / "o"))
    impossible = [t for t in trials_of(odd, tmp_path / "o") if (t.params["n_head"], t.params["n_embd"]) == (4, 18)]
    assert 0 < len(impossible) == result.trials["failed"]
    assert "18 is not divisible by n_head=4" in impossible[0].user_attrs["reason"]
    assert "18 is not divisible by n_head=4" in (tmp_path / "o/report.html").read_text()

    def diverge(*_: object) -> None:
        raise TrainingDiverged("the loss became nan by step 1")

    monkeypatch.setattr("letterwise.training.trainer.validate", diverge)
    with pytest.raises(Exception, match=r"none of 2 trials came to its end: the loss became nan by step 1"):
        sweep(space(trials=2), str(tmp_path / "d"))


def test_what_is_wrong_with_every_trial_ends_the_sweep_and_costs_none(space: Callable[..., str], tmp_path: Path) -> None:
    wrong = space()
    Path(wrong).write_text(Path(wrong).read_text().replace("animals.txt", "nowhere.txt"))
    assert "nowhere.txt" in refused("sweep", "--space", wrong, "--out", tmp_path / "o")
    assert [trial.state for trial in trials_of(wrong, tmp_path / "o")] == [TrialState.RUNNING]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("x = [", "is not TOML"),
        ("trials = 0", "trials = 0 is no whole number from 1"),
        ("trails = 3", "did you mean 'trials'?"),
        ('objective = "loss"', "objective = 'loss' is not known"),
        ("fixed = 3", "should be a table"),
        ("", "nothing varies"),
        ("[fixed]\nlearning_rat = 1\n[vary]\ndropout = [0.1]", "did you mean 'learning_rate'?"),
        ("[vary]\nlerning_rate = [0.1]", "did you mean 'learning_rate'?"),
        ("[vary]\ndropout = { from = 0, to = 2 }", "dropout=2.0 is too large"),
        ("[vary]\ndropout = { from = 0.5, to = 0.1 }", "holds no numbers"),
        ("[vary]\ndropout = { from = 0, to = 0.5, log = true }", "begin above 0"),
        ("[vary]\ndropout = { from = 0 }", "is no range: write dropout = { from = 1, to = 8 }"),
        ("[vary]\nn_layer = { from = 1, to = 2.5 }", "n_layer=2.5 is not a whole number"),
        ("[vary]\ndropout = []", "offers no texts or numbers"),
        ("[vary]\ndropout = 0.1", "is no range"),
        ("[vary]\nval_fraction = [0.1, 0.2]", "could not be compared"),
        ("[fixed]\nmembers = 3\n[vary]\ndropout = [0.1, 0.2]", "a sweep compares single models"),
        ("[fixed]\ndropout = 0\n[vary]\ndropout = [0.1]", "keep it in one of them"),
    ],
)
def test_a_space_that_cannot_be_tried_is_refused(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(content)
    assert said in refused("sweep", "--space", tmp_path / "s.toml", "--out", tmp_path / "o")
    assert not (tmp_path / "o").exists()


def test_the_guides_space_can_be_tried(tmp_path: Path) -> None:
    (content,) = re.findall(r"```toml\n(trials.*?)```", (Path(__file__).parents[2] / "docs/guide.md").read_text(), re.DOTALL)
    (tmp_path / "s.toml").write_text(content)
    assert len(read_space(str(tmp_path / "s.toml")).vary) == 4


def test_a_folder_of_something_else_is_left_alone(space: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "o").mkdir()
    (tmp_path / "o/letter.txt").write_text("Dear")
    assert "something else than a sweep" in refused("sweep", "--space", space(), "--out", tmp_path / "o")
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["letter.txt"]


@given(
    st.dictionaries(st.sampled_from(["dataset", "encoding"]), st.text(st.characters(exclude_categories=["Cs"]), min_size=1)),
    st.floats(allow_nan=False),
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]))).map(tuple),
)
def test_what_is_written_as_toml_is_read_as_it_was(texts: dict, real: float, flag: bool, whole: int, several: tuple) -> None:
    values = {**texts, "learning_rate": real, "tied": flag, "max_iters": whole, "freeze": several}
    path = Path(os.environ["LETTERWISE_CACHE"]) / "best.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(as_toml(values, "one\n\ntwo").encode())
    assert read_toml(path) == values


def test_the_page_shows_every_trial(space: Callable[..., str], tmp_path: Path) -> None:
    result = sweep(space(), str(tmp_path / "o"))
    html = Path(result.report).read_text()
    measured = sum(count for state, count in result.trials.items() if state != "failed")
    assert len(re.findall("<circle ", html.partition("<script")[0])) == measured * 3  # over trials and two knobs
    assert not re.search(r"(src|href)=\"?(http|//)", html)
    with browser() as chromium:
        opened, wrong = chromium.new_page(), []
        opened.on("pageerror", lambda error: wrong.append(error))
        opened.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        opened.goto(Path(result.report).as_uri())
        opened.wait_for_selector("#curves svg")
        assert opened.locator(".plots circle.best").count() == 3
        assert wrong == []
