"""Fine-tuning: what the base model knew is where it was, and what was asked cannot contradict it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from faults.test_faults import StopAt
from tiny_run import FLAGS, LINE_FLAGS, TEXT

import letterwise
from letterwise.checkpoint import load_model
from letterwise.checkpoint.text_model import text_model
from letterwise.checkpoint.training_state import load_state
from letterwise.cli.commands.train import closing_words
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.evaluation.evaluate import evaluate
from letterwise.training.finetune import finetuning
from letterwise.training.finetune.base import open_base
from letterwise.training.finetune.finetuning import start
from letterwise.training.finetune.freeze import freeze
from letterwise.training.interruption import Interrupted
from letterwise.training.prepare import train

DOMAIN = (
    "".join(f"An öd {animal} ate the {place}! " for animal in ("cät", "dog", "ρat") for place in ("mat", "jar", "sill")) * 12
)


@pytest.fixture
def domain(tmp_path: Path) -> Path:
    """A small text with characters that the tiny run's text lacks, before, among and after its own."""
    path = tmp_path / "domain.txt"
    path.write_text(DOMAIN)
    return path


@pytest.fixture(scope="module")
def bases(text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A tiny model of each preset."""
    folder, found = tmp_path_factory.mktemp("bases"), {}
    for preset in ("fast", "classic", "gpt2", "llama"):
        flags = {**FLAGS, "preset": preset, "input_file": (str(text_file),)}
        found[preset] = train(flags, out=str(folder / preset)).model_path
    return found


@pytest.fixture(scope="module")
def texts(bases: dict[str, str]) -> dict[str, np.ndarray]:
    """What each base takes for its own text, as long as outside tests: all new characters are made quiet on the same one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetuning, "WRITTEN_CHARS", 1_000)
        return {preset: finetuning.written(open_base(path)) for preset, path in bases.items()}


@pytest.mark.parametrize("preset", ["fast", "classic", "gpt2", "llama"])
@pytest.mark.parametrize("new", ["\0", "ρ", "Bq~", "".join(map(chr, range(0x3B1, 0x3B1 + 200)))])
def test_more_characters_change_nothing_for_the_old_ones(
    bases: dict[str, str], texts: dict[str, np.ndarray], preset: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = open_base(bases[preset])
    monkeypatch.setattr(finetuning, "written", lambda base: texts[preset])
    vocabulary = Vocabulary("char", "".join(sorted({*base.file.vocabulary.characters, *new})))
    before, after = text_model(base.file), start(base, vocabulary, lambda note: None).untouched
    ids = before.encode(TEXT[-400:])
    old, grown = (evaluate(model, held).nats_per_char for model, held in ((before, ids), (after, after.encode(TEXT[-400:]))))
    assert grown == pytest.approx(old, abs=1e-3)
    strange = after.encode("The cat sat on" + new[0])
    nats = evaluate(after, strange).nats_per_char * (len(strange) - 1) - evaluate(after, strange[:-1]).nats_per_char * (
        len(strange) - 2
    )
    assert 3 < nats < 200


def test_a_domain_is_learned_and_the_base_is_remembered_in_the_file(
    bases: dict[str, str], domain: Path, tmp_path: Path
) -> None:
    result = train({"init_from": bases["fast"], "input_file": (str(domain),), "max_iters": 20}, out=str(tmp_path / "o"))
    file, base = load_model(result.model_path), open_base(bases["fast"])
    assert file.vocabulary.characters == "".join(sorted({*DOMAIN, *TEXT}))
    assert file.lineage == base.lineage
    assert file.lineage[0]["fingerprint"] == base.file.data["fingerprint"]
    assert result.best_val_bits_per_char < result.baselines["base model"]
    rows = [json.loads(line) for line in (tmp_path / "o/metrics.jsonl").read_text().splitlines()]
    assert all(row["old_val_nats_per_char"] > 0 for row in rows if "kind" not in row)
    again = letterwise.load(result.model_path)
    assert again.evaluate().nats_per_char == pytest.approx(
        result.best_val_nats_per_char, abs=1e-5
    )  # on its own text, found again
    further = train({"init_from": result.model_path, "input_file": (str(domain),), "max_iters": 2}, out=str(tmp_path / "p"))
    assert [len(load_model(further.model_path).lineage), len(base.lineage)] == [2, 1]


def test_what_is_compiled_writes_as_the_plain_model_expects(bases: dict[str, str], domain: Path, tmp_path: Path) -> None:
    """Counts of two texts are read by the kernel as by NumPy."""
    model = letterwise.train(
        domain, init_from=Path(bases["fast"]), freeze=["head"], max_iters=4, out=tmp_path / "o", progress=False
    )
    for prompt in ("An ", "The cat sat o", "An öd ρ", "!"):
        expected = model.vocabulary.decode([int(model.logits(prompt)[-1].argmax())])
        assert model.generate(prompt, num_tokens=1, greedy=True) == expected


@pytest.mark.parametrize("replay", [0.0, 0.5])
def test_an_interrupted_run_ends_as_the_undisturbed_one(
    bases: dict[str, str], domain: Path, tmp_path: Path, replay: float
) -> None:
    flags = {"init_from": bases["fast"], "input_file": (str(domain),), "max_iters": 20, "eval_interval": 10, "replay": replay}
    train(flags, out=str(tmp_path / "one"))
    with pytest.raises(Interrupted):
        train(flags, out=str(tmp_path / "two"), progress=StopAt(10))
    train({}, out=str(tmp_path / "two"), resume=True)
    one, two = (load_state(tmp_path / name / "state.safetensors") for name in ("one", "two"))
    for name, weight in one.weights.items():
        np.testing.assert_array_equal(two.weights[name], weight)


def test_replay_keeps_more_of_the_base_text(bases: dict[str, str], domain: Path, tmp_path: Path) -> None:
    last = {}
    for replay in (0.0, 0.5):
        flags = {"init_from": bases["classic"], "input_file": (str(domain),), "max_iters": 60, "replay": replay}
        train(flags, out=str(tmp_path / f"r{replay}"))
        last[replay] = load_state(tmp_path / f"r{replay}/state.safetensors").rows[-1]["old_val_nats_per_char"]
    assert last[0.5] < 0.8 * last[0.0]


def test_resuming_wants_the_same_base(bases: dict[str, str], domain: Path, tmp_path: Path) -> None:
    base = tmp_path / "base.safetensors"
    base.write_bytes(Path(bases["classic"]).read_bytes())
    flags = {"init_from": str(base), "input_file": (str(domain),), "max_iters": 20, "eval_interval": 10}
    with pytest.raises(Interrupted):
        train(flags, out=str(tmp_path / "o"), progress=StopAt(10))
    base.write_bytes(Path(bases["gpt2"]).read_bytes())
    with pytest.raises(UserError, match="is not the model that this run was started from"):
        train({}, out=str(tmp_path / "o"), resume=True)
    base.unlink()
    with pytest.raises(UserError, match="there is no model file"):
        train({}, out=str(tmp_path / "o"), resume=True)


def test_frozen_weights_stay_as_they_are(bases: dict[str, str], domain: Path, tmp_path: Path) -> None:
    flags = {"init_from": bases["gpt2"], "input_file": (str(domain),), "max_iters": 5, "freeze": ("embedding", "blocks.0-0")}
    result = train(flags, out=str(tmp_path / "o"))
    begun = start(open_base(bases["gpt2"]), load_model(result.model_path).vocabulary, lambda note: None).start.weights
    weights = load_state(tmp_path / "o/state.safetensors").weights
    changed = {name for name in weights if not np.array_equal(weights[name], begun[name])}
    assert changed
    assert not any(name.startswith(("tokens", "positions", "blocks.0.")) for name in changed)
    assert any(name.startswith("blocks.1.") for name in changed)


def test_patterns_name_weights_by_their_parts() -> None:
    model = torch.nn.ModuleDict(
        {"tokens": torch.nn.Embedding(2, 2), "blocks": torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(3))}
    )
    freeze(model, ["blocks.0-1.weight"])
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["blocks.0.weight", "blocks.1.weight"]
    freeze(model, ["embedding"])
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["tokens.weight"]
    with pytest.raises(
        UserError, match=r"'blocks.7' names no weight of this model: its parts are blocks.0, blocks.1, blocks.2, tokens"
    ):
        freeze(model, ["blocks.7"])
    with pytest.raises(UserError, match="leaves nothing to learn"):
        freeze(model, ["*"])


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"n_layer": 5}, "has n_layer=2, not 5: leave out --n_layer"),
        ({"preset": "llama"}, "has preset='classic', not 'llama'"),
        ({"vocab": "byte"}, "has vocab='char', not 'byte'"),
        ({"freeze": ("nothing",)}, "names no weight"),
        ({"init_from": "gone.safetensors"}, "there is no model file"),
    ],
)
def test_what_contradicts_the_base_is_a_sentence(
    bases: dict[str, str], domain: Path, tmp_path: Path, flags: dict, sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        train({"init_from": bases["classic"], "input_file": (str(domain),), "max_iters": 2, **flags}, out=str(tmp_path / "o"))


def test_the_base_is_not_replaced_by_its_own_run(bases: dict[str, str], domain: Path) -> None:
    out, content = Path(bases["llama"]).parent, Path(bases["llama"]).read_bytes()
    with pytest.raises(UserError, match="would be replaced"):
        train({"init_from": bases["llama"], "input_file": (str(domain),)}, out=str(out), overwrite=True)
    assert Path(bases["llama"]).read_bytes() == content


@pytest.mark.parametrize("flag", [{"freeze": ("head",)}, {"replay": 0.1}])
def test_flags_of_fine_tuning_want_a_base(text_file: Path, tmp_path: Path, flag: dict) -> None:
    with pytest.raises(UserError, match="is for fine-tuning: name the model to start from with --init_from"):
        train({"input_file": (str(text_file),), **flag}, out=str(tmp_path / "o"))


def test_models_of_lines_and_of_bytes(tiny_lines, line_file: Path, domain: Path, text_file: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"zü{i}ba" for i in range(60)))
    base = train({**LINE_FLAGS, "lines": True, "input_file": (str(line_file),)}, out=str(tmp_path / "base"))
    result = train(
        {"init_from": base.model_path, "input_file": (str(names),), "max_iters": 8, "replay": 0.3}, out=str(tmp_path / "l")
    )
    assert result.lines
    assert result.best_val_bits_per_char < result.baselines["base model"]
    bytes_ = train({**FLAGS, "max_iters": 4, "vocab": "byte", "input_file": (str(text_file),)}, out=str(tmp_path / "b"))
    result = train({"init_from": bytes_.model_path, "input_file": (str(domain),), "max_iters": 4}, out=str(tmp_path / "c"))
    assert load_model(result.model_path).vocabulary.kind == "byte"


def test_replaying_a_text_that_is_gone_is_refused(domain: Path, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "base.txt").write_text(TEXT)
    base = train({**FLAGS, "input_file": (str(tmp_path / "base.txt"),), "max_iters": 2}, out=str(tmp_path / "base")).model_path
    (tmp_path / "base.txt").unlink()
    shutil.rmtree(cache)
    flags = {"init_from": base, "input_file": (str(domain),), "max_iters": 2}
    with pytest.raises(UserError, match="learns the base model's own text again, which is not there"):
        train({**flags, "replay": 0.3}, out=str(tmp_path / "o"))
    assert train(flags, out=str(tmp_path / "p")).old_bits_per_char is None


def test_what_does_better_than_fine_tuning_is_said(bases: dict[str, str], domain: Path, tmp_path: Path) -> None:
    flags = {"init_from": bases["gpt2"], "input_file": (str(domain),), "max_iters": 1}
    result = train(flags, out=str(tmp_path / "o"))

    def words(bits: float, *, counting: float, base: float) -> str:
        baselines = {"counting alone": counting, "base model": base}
        return closing_words(replace(result, best_val_bits_per_char=bits, baselines=baselines))

    assert "The base model does better" in words(2.0, counting=3.0, base=1.9)
    assert "Counting alone does better, and preset fast begins with that" in words(2.0, counting=1.9, base=2.5)
    assert "does better" not in words(2.0, counting=2.1, base=2.5)
