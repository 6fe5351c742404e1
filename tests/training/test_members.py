"""Members: an ensemble is its runs, and weights fitted on what none learned; a stop changes nothing; what cannot be is told."""

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import ask

import letterwise
from letterwise.checkpoint import load_model
from letterwise.checkpoint.container import checksum
from letterwise.checkpoint.text_model import text_model
from letterwise.checkpoint.texts import own_text
from letterwise.checkpoint.training_state import load_state
from letterwise.config import Config
from letterwise.evaluation.evaluate import evaluate
from letterwise.progress import Progress
from letterwise.training import trainer
from letterwise.training.interruption import Interrupted
from letterwise.training.planning import plan, recipe, settings
from letterwise.training.prepare import train
from letterwise.training.several import members as members_module
from letterwise.training.several import pool
from letterwise.training.several.members import completed, train_members
from letterwise.training.several.result import EnsembleResult
from letterwise.units import bits

SMALL = dict(
    n_layer=1, n_embd=16, n_head=2, block_size=16, batch_size=2, max_iters=6, eval_interval=6, warmup_iters=1, counts_order=3,
    counts_folds=5, members=3, distill=True, save_interval="1",
)  # fmt: skip


def flags_for(text: Path, **flags: object) -> dict[str, Any]:
    return {"input_file": (str(text),), **SMALL, **flags}


@pytest.fixture(scope="module")
def made(text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> EnsembleResult:
    """Three members and their student."""
    return train_members(flags_for(text_file), out=str(tmp_path_factory.mktemp("members") / "o"))


def weights_of(path: str | Path) -> str:
    """Which weights a model file has, whatever else it says."""
    file = load_model(path)
    return checksum({}, {f"{n}.{name}": each for n, net in enumerate(file.networks) for name, each in net.weights.items()})


def test_the_ensemble_is_its_members(made: EnsembleResult) -> None:
    file, members = load_model(made.ensemble_path), [load_model(run.model_path) for run in made.members]
    assert [each.weight for each in file.members] == made.weights
    assert [each.model.counts_order for each in file.members] == [3, 0, 3]
    for each, member in zip(file.members, members, strict=True):
        assert each.weights.keys() == member.weights.keys()
        assert all(np.array_equal(each.weights[name], member.weights[name]) for name in each.weights)
    seeds = [member.config.training.rng_seed for member in members]
    assert seeds == [1337, 1338, 1339]
    held_out = own_text(file, lambda note: None).part("val")
    assert evaluate(text_model(file), held_out).nats_per_char == made.ensemble_nats
    assert file.best_validation is not None
    assert file.best_validation["val_nats_per_char"] == made.ensemble_nats
    assert made.tuning_nats <= min(made.tuning_nats_of_members)


def test_its_student_is_an_ordinary_model_that_learned_all_text(made: EnsembleResult) -> None:
    assert made.student
    file, first = load_model(made.model_path), load_model(made.members[0].model_path)
    assert not file.members
    assert weights_of(made.student.model_path) == weights_of(made.model_path)
    assert file.config.model == replace(first.config.model, dropout=0.0)
    assert file.config.training.teacher == made.ensemble_path
    assert file.data["teacher"]["model"] == load_state(Path(made.student.run_dir) / "state.safetensors").teacher
    assert not file.config.training.members
    assert file.counts
    assert first.counts
    assert file.counts.chars - first.counts.chars == round(first.config.training.tuning_fraction * file.data["bounds"][0])
    assert made.best_val_nats_per_char == made.student.best_val_nats_per_char


def test_without_a_student_the_model_file_is_the_ensemble(text_file: Path, made: EnsembleResult, tmp_path: Path) -> None:
    words = [word for name, value in (SMALL | {"members": 2}).items() if name != "distill" for word in (f"--{name}", value)]
    place = tmp_path / "both.safetensors"
    answer = ask("train", "--input_file", text_file, "--out", tmp_path / "o", "--model_path", place, *words, "--json")
    assert answer.code == 0, answer
    told = json.loads(answer.stdout)
    assert told["model_path"] == told["ensemble_path"] == str(place)
    assert told["best_val_nats_per_char"] == told["ensemble_nats"]
    assert told["student"] is None
    assert told["iters"] == 12
    assert told["params"] == sum(run["params"] for run in told["members"])
    assert len(load_model(place).members) == 2
    alone = made.members  # the same runs: how many others come after them changes nothing of one
    assert [run["best_val_nats_per_char"] for run in told["members"]] == [run.best_val_nats_per_char for run in alone[:2]]


def test_a_member_is_the_run_that_it_would_be_alone(text_file: Path, made: EnsembleResult, tmp_path: Path) -> None:
    """Of a text that begins where it begins for members."""
    stream = own_text(load_model(made.ensemble_path), lambda note: None)
    kept = stream.keeping_back(load_model(made.members[1].model_path).config.training.tuning_fraction or 0.0)
    learned = kept.vocabulary.decode(kept.part("train"))
    shorter, rest = tmp_path / "shorter.txt", tmp_path / "rest.txt"
    shorter.write_text(learned)
    rest.write_text(kept.vocabulary.decode(kept.part("val")))
    own = {name: value for name, value in SMALL.items() if name not in ("members", "distill")}
    own |= recipe.role(2, load_model(made.members[0].model_path).config).values
    files = {"input_file": (str(shorter),), "val_file": (str(rest),)}
    alone = train({**own, **files, "rng_seed": 1338}, out=str(tmp_path / "alone"))
    assert weights_of(alone.model_path) == weights_of(made.members[1].model_path)


def test_what_is_kept_back_changes_no_member_and_validation_text_no_weight(text_file: Path, tmp_path: Path) -> None:
    text = text_file.read_text()
    validation = round(len(text) * 0.9)
    kept = int(validation * 0.1) - 1

    def shuffled(first: int, end: int) -> str:
        """The text with its characters from the `first` to before the `end` in another order."""
        middle = "".join(np.random.default_rng(1).permutation([*text[first:end]]))
        return text[:first] + middle + text[end:]

    found = []
    half = (validation + len(text)) // 2
    turned = text[:validation] + text[half:] + text[validation:half]  # all else would change which state of a member is kept
    for n, content in enumerate((text, shuffled(0, kept), turned)):
        path = tmp_path / f"{n}.txt"
        path.write_text(content)
        flags = flags_for(path, tuning_fraction=0.1, distill=False, members=2, counts_order=2)
        result = train_members(flags, out=str(tmp_path / f"o{n}"))
        found.append(([weights_of(run.model_path) for run in result.members], result.weights, result.ensemble_nats))
    whole, other_kept, other_validation = found
    assert other_kept[0] == whole[0]
    assert other_kept[1] != whole[1]
    assert other_validation[0] == whole[0]
    assert other_validation[1] == whole[1]
    assert other_validation[2] != whole[2]


@pytest.mark.parametrize("at", [3, 9, 20])
def test_stopped_and_resumed_it_is_the_same(
    at: int, text_file: Path, made: EnsembleResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the first member, in the second, in the student; and by a command that names the directory only."""
    step, taken, out = trainer.Trainer.take_step, [], str(tmp_path / "cut")

    def counted(self: trainer.Trainer, check: Callable[[], None]) -> None:
        taken.append(None)
        if len(taken) == at + 1:
            raise Interrupted(signal.SIGTERM)
        step(self, check)

    monkeypatch.setattr(trainer.Trainer, "take_step", counted)
    with pytest.raises(Interrupted):
        train_members(flags_for(text_file), out=out)
    if at == 9:
        told = json.loads(ask("train", "--resume", "--out", out, "--json").stdout)
        figures = told["ensemble_nats"], told["best_val_nats_per_char"], told["weights"]
    else:
        resumed = train_members(flags_for(text_file), out=out, resume=True)
        figures = resumed.ensemble_nats, resumed.best_val_nats_per_char, resumed.weights
    assert figures == (made.ensemble_nats, made.best_val_nats_per_char, made.weights)
    assert len(taken) == 4 * SMALL["max_iters"] + 1  # no step was taken twice
    assert weights_of(f"{out}/model.safetensors") == weights_of(made.model_path)


def test_stopped_while_weights_are_fitted_nothing_is_lost(
    text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags, out = flags_for(text_file, distill=False, members=2, max_iters=2), str(tmp_path / "o")

    def asked(logits: list[np.ndarray], targets: np.ndarray, between: Callable[[], None]) -> None:
        signal.raise_signal(signal.SIGTERM)
        between()

    with monkeypatch.context() as changed:
        changed.setattr(pool, "fit_weights", asked)
        with pytest.raises(Interrupted, match="all members are finished and saved"):
            train_members(flags, out=out)
    assert not (tmp_path / "o/model.safetensors").exists()
    monkeypatch.setattr(trainer.Trainer, "take_step", None)  # none is left to be taken
    assert len(train_members({}, out=out, resume=True).weights) == 2


def test_more_steps_are_another_ensemble_and_its_student_begins_anew(text_file: Path, tmp_path: Path) -> None:
    out, flags = str(tmp_path / "o"), flags_for(text_file, members=2, max_iters=2, schedule="constant", eval_interval=1)
    before = train_members(flags, out=out)
    after = train_members({"max_iters": 4, "eval_interval": 1}, out=out, resume=True)
    assert [run.iters for run in after.members] == [4, 4]
    assert after.student
    assert after.student.iters == 4
    assert before.weights != after.weights
    state = load_state(Path(after.student.run_dir) / "state.safetensors")
    assert state.teacher == load_model(after.model_path).data["teacher"]["model"]


def test_replacing_leaves_nothing_of_what_was_there(text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in its first member, the new ensemble does not go on with the old one's others."""
    out = str(tmp_path / "o")
    train_members(flags_for(text_file, members=4, max_iters=2), out=out)
    assert "earlier run" in ask("train", "--input_file", text_file, "--members", 2, "--out", out).sentence
    missing = ask("train", "--input_file", tmp_path / "none.txt", "--members", 2, "--out", out, "--overwrite")
    assert "none.txt" in missing.sentence
    assert (tmp_path / "o/member-4/state.safetensors").exists()

    def stopped(self: trainer.Trainer, check: Callable[[], None]) -> None:
        raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr(trainer.Trainer, "take_step", stopped)
    with pytest.raises(Interrupted):
        train_members(flags_for(text_file, members=2, distill=False), out=out, overwrite=True)
    left = {path.relative_to(tmp_path / "o").parts[0] for path in (tmp_path / "o").rglob("*.safetensors")}
    assert left == {"member-1"}


def test_minutes_are_for_all(text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of an ensemble that is resumed by its directory alone. What the first chose holds for the others, but for size and
    dropout of those without counts.
    """
    speeds = iter((1e6, 1e9))
    monkeypatch.setattr(plan, "measured_flops", lambda *_: next(speeds))
    made = train_members({"input_file": (str(text_file),), "minutes": 0.03, "members": 2}, out=str(tmp_path / "o"))
    first, second = (load_state(Path(run.run_dir) / "state.safetensors").config for run in made.members)
    assert first.training.minutes + second.training.minutes == pytest.approx(0.03 * (1 - recipe.MIXING_SHARE))
    assert second.training.minutes == pytest.approx(3 * first.training.minutes)  # it has no counts, and so more to learn
    assert recipe.total_minutes(first) == pytest.approx(0.03)
    chosen = ("n_layer", "n_embd", "n_head", "dropout")
    own = {name: getattr(second.model, name) for name in chosen}
    assert first.with_values({**recipe.role(2, first).values, **own}).model == second.model
    assert made.weights == train_members({}, out=str(tmp_path / "o"), resume=True).weights


@pytest.mark.parametrize(("members", "distill"), [(2, False), (5, False), (3, True)])
def test_shares_of_the_time_add_up(members: int, distill: bool) -> None:
    config = Config().with_values({"members": members, "distill": distill, "minutes": 10.0})
    each = recipe.minutes(config, 10.0)
    assert len(each) == members + distill
    assert sum(each) == pytest.approx(10 * (1 - recipe.MIXING_SHARE))
    own = config.with_values({"minutes": each[0]})
    assert recipe.total_minutes(own) == pytest.approx(10)


@pytest.mark.parametrize(("chars", "kept"), [(1_000, 200), (20_000, 2_000), (1_000_000, 20_000), (10**9, 2**17)])
def test_enough_is_kept_back_and_no_more(chars: int, kept: int) -> None:
    assert round(chars * recipe.tuning_fraction(chars)) == kept


def test_a_plan_says_what_will_be_done(text_file: Path) -> None:
    answer = ask("plan", "--input_file", text_file, "--members", 3, "--distill", "--minutes", 10)
    first, *rest = answer.stdout.splitlines()
    assert first.startswith("an ensemble in 10 minutes: member 1, with counts, 1.2 minutes; ")
    assert "member 2, without counts, 3.6 minutes; " in first
    assert "student" in first
    assert rest[0].startswith("plan for 1.2 minutes: ")


def test_minutes_that_read_a_text_often_are_for_several_models(text_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing was said of members, and nothing else speaks for one model."""
    asked = {"input_file": (str(text_file),), "minutes": 5.0}
    notes: list[str] = []
    told = Progress()
    monkeypatch.setattr(told, "note", notes.append)
    for epochs, members in ((2.9, None), (3.0, 2), (11.9, 2), (12.0, 3), (24.0, 4)):
        monkeypatch.setattr(settings, "planned", lambda config, *_, epochs=epochs: (config, plan.Plan({}, [], epochs)))
        assert completed(asked, told).get("members") == members
    assert any("an ensemble of 2 learns more" in note and "--members 0" in note for note in notes)
    assert completed({**asked, "distill": True}, told)["members"] == 4
    assert completed({**asked, "distill": True, "minutes": 1.0}, told)["members"] == 2
    for changed in (
        {"minutes": 4.9},
        {"members": 0},
        {"members": 3},
        {"preset": "gpt2"},
        {"preset": "counts"},
        {"teacher": "x"},
    ):
        flags = {**asked, **changed}
        assert completed(flags) == flags
    monkeypatch.setattr(members_module, "started_by_torchrun", lambda: True)
    assert completed(asked) == asked


def test_its_page_shows_all_of_it(made: EnsembleResult) -> None:
    page = (Path(made.run_dir) / "report.html").read_text()
    for nth, (run, weight) in enumerate(zip(made.members, made.weights, strict=True), 1):
        assert f'<th scope="row">member-{nth}</th><td>{bits(run.best_val_nats_per_char or 0.0):.4f} bits' in page
        assert f"weight {weight:.3f}" in page
        assert f'<a href="member-{nth}/report.html">' in page
        assert (Path(made.run_dir) / f"member-{nth}" / "report.html").is_file()
    assert f"{made.ensemble_nats:.4f} nats per character" in page
    drawn = json.loads(page.split('id="runs">')[1].split("</script>")[0])["runs"]
    assert [run["name"] for run in drawn] == ["member-1", "member-2", "member-3", "student"]
    assert all(run["rows"] for run in drawn)


def test_of_lines_whole_ones_are_kept_back(line_file: Path, tmp_path: Path) -> None:
    flags = flags_for(line_file, lines=True, block_size=8, distill=False, members=2, counts_order=2)
    made = train_members(flags, out=str(tmp_path / "o"))
    file = load_model(made.model_path)
    stream = own_text(file, lambda note: None)
    kept = stream.keeping_back(load_model(made.members[0].model_path).config.training.tuning_fraction or 0.0)
    text, lines = kept.vocabulary.decode(kept.part("train")), kept.vocabulary.decode(kept.tuning_part)
    assert text.startswith("\n")
    assert text.endswith("\n")
    assert lines.startswith("\n")
    assert lines + text[1:] == stream.vocabulary.decode(stream.part("train"))
    assert made.tuning_chars == len(lines) - 1


def test_python_trains_an_ensemble(text_file: Path, tmp_path: Path) -> None:
    options = {name: value for name, value in SMALL.items() if name != "distill"} | {"members": 2, "max_iters": 2}
    model = letterwise.train(text_file, out=tmp_path / "o", progress=False, **options)
    assert len(model.file.members) == 2
    assert not model.file.config.training.distill


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--members", 1], "members=1 is a single model"),
        (["--members", -1], "members=-1 is too small"),
        (["--members", 1000], "members=1000 is too large"),
        (["--distill", "--members", 0], "a student needs an ensemble to learn from"),
        (["--distill", "--seeds", 2], "give one of the two"),
        (["--distill", "--processes", 2], "leave out --processes"),
        (["--distill", "--teacher", "x"], "give one of the two"),
        (["--distill", "--input_file", "-"], "can be read only once"),
        (["--tuning_fraction", 0.1], "say of how many models"),
        (["--members", 2, "--tuning_fraction", 0], "must be above 0"),
        (["--members", 2, "--seeds", 2], "give one of the two"),
        (["--members", 2, "--processes", 2], "leave out --processes"),
        (["--members", 2, "--teacher", "x"], "give one of the two"),
        (["--members", 2, "--init_from", "x"], "give one of the two"),
        (["--members", 2, "--preset", "counts"], "nothing is learned"),
        (["--members", 2, "--input_file", "-"], "can be read only once"),
        (["--members", 2, "--resume"], "no ensemble to resume"),
        (["--members", 2, "--tuning_fraction", 1e-6], "0 characters at the beginning of the training part are too few to fit"),
        (["--members", 2, "--val_fraction", 0.9999, "--block_size", 16], "the training part has"),
    ],
)
def test_a_contradiction_is_a_sentence(
    flags: list[object], said: str, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = [] if "--input_file" in flags or "--resume" in flags else ["--input_file", text_file]
    for command in ("train", "plan"):
        if command == "train" or "--resume" not in flags:
            assert said in ask(command, *text, *flags, *(["--minutes", 1] if "counts" not in flags else [])).sentence
    assert not list(tmp_path.iterdir())


def test_another_number_of_members_is_another_ensemble(made: EnsembleResult) -> None:
    answer = ask("train", "--resume", "--out", made.run_dir, "--members", 4)
    assert "this run has members=3, not 4" in answer.sentence
