"""Hugging Face: transformers itself loads what was exported, and predicts, spells and writes the same."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_models import CHARS, SHAPE, choices, ids_of, made

import letterwise
from letterwise.api.export import WRITTEN
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.interop.architecture import obstacles

os.environ["HF_HUB_OFFLINE"] = "1"
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of transformers
ORDINARY = {"classic": "OPTForCausalLM", "gpt2": "GPT2LMHeadModel", "llama": "LlamaForCausalLM"}


def loaded(model: letterwise.LanguageModel, folder: Path) -> Any:
    """What transformers makes of a model's export."""
    shutil.rmtree(folder, ignore_errors=True)
    exported = model.export("hf", folder)
    assert set(exported.files) <= WRITTEN
    transformers.utils.logging.disable_progress_bar()
    found, report = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    return found.eval()


def difference(model: letterwise.LanguageModel, theirs: Any) -> float:
    """The largest difference of logits over random characters."""
    ids = ids_of(model)
    with torch.no_grad():
        return float((theirs(torch.tensor(ids)[None]).logits[0] - model(ids)).abs().max())


@pytest.mark.parametrize(("preset", "brick", "value"), choices())
def test_every_brick_is_equal_there_or_refused_by_name(preset: str, brick: str, value: Any, tmp_path: Path) -> None:
    model = made(preset, **{brick: value})
    parts = obstacles(model.config.model)
    if parts:
        with pytest.raises(UserError, match=f"has no model with {parts[0]}"):
            model.export("hf", tmp_path / "hf")
        assert list(tmp_path.iterdir()) == []
    else:
        assert difference(model, loaded(model, tmp_path / "hf")) < 1e-4


@pytest.mark.parametrize(("preset", "kind"), ORDINARY.items())
def test_a_preset_is_the_class_that_people_know(preset: str, kind: str, tmp_path: Path) -> None:
    theirs = loaded(made(preset), tmp_path / "hf")
    assert type(theirs).__name__ == kind
    assert theirs.num_parameters() >= made(preset).params


@pytest.mark.parametrize("preset", ORDINARY)
def test_fifty_greedy_texts_of_a_trained_model_are_the_same(preset: str, trained: dict[str, Any], tmp_path: Path) -> None:
    model = trained[preset]
    theirs = loaded(model, tmp_path / "hf")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    text = model.held_out()
    prompts = [text[start : start + 20] for start in range(0, 500, 10)]
    ids = torch.tensor([tokenizer(prompt)["input_ids"] for prompt in prompts])
    with torch.no_grad():
        written = theirs.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=200, max_length=None
        )
    for prompt, each in zip(prompts, written, strict=True):
        assert tokenizer.decode(each) == prompt + model.generate(prompt, num_tokens=200, greedy=True)


AWKWARD = [
    "a\0b",
    "line\r\nline\n\r",
    "\u2028\u2029\x85",
    "\U0001f469\u200d\U0001f4bb \U0001f1eb\U0001f1f7",
    "e\u0301 \u0301e",
    "  two  spaces  ",
    "\ttab ",
    "<unk><s></s>[CLS]",
    "\u00a0\ufeff\u3000",
    "ﬁ İ ß ẞ",
]


@pytest.mark.parametrize("kind", ["char", "byte"])
def test_awkward_strings_come_back_exactly(kind: str, tmp_path: Path) -> None:
    vocabulary = Vocabulary("char", "".join(sorted(set("".join(AWKWARD))))) if kind == "char" else Vocabulary("byte")
    made("gpt2", vocabulary).export("hf", tmp_path / "hf")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    draw = np.random.default_rng(0)
    known = sorted(set("".join(AWKWARD)))
    for text in [*AWKWARD, "", *("".join(draw.choice(known, 12)) for _ in range(200))]:
        ids = tokenizer(text)["input_ids"]
        assert ids == vocabulary.encode(text).tolist()
        assert tokenizer.decode(ids) == text


def test_an_unknown_character_is_an_error_there(tmp_path: Path) -> None:
    made("gpt2").export("hf", tmp_path / "hf")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    with pytest.raises(Exception, match="Missing"):
        tokenizer("é")


def test_half_a_character_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="half a character"):
        made("gpt2", Vocabulary("char", "ab\ud800")).export("hf", tmp_path / "hf")
    assert list(tmp_path.iterdir()) == []


def test_a_pipeline_writes(tmp_path: Path) -> None:
    made("llama").export("hf", tmp_path / "hf")
    write = transformers.pipeline("text-generation", model=str(tmp_path / "hf"))
    (answer,) = write("abc", max_length=SHAPE["block_size"])
    assert answer["generated_text"].startswith("abc")
    assert len(answer["generated_text"]) == SHAPE["block_size"]
    assert set(answer["generated_text"]) <= set(CHARS)


def test_a_model_of_lines_ends_its_line(tmp_path: Path, line_file: Path) -> None:
    shape = dict(n_layer=1, n_head=2, n_embd=16, block_size=16, batch_size=8, max_iters=20, warmup_iters=2, eval_interval=20)
    model = letterwise.train(line_file, lines=True, preset="gpt2", out=tmp_path / "run", progress=False, **shape)
    model.export("hf", tmp_path / "hf")
    assert json.loads((tmp_path / "hf/generation_config.json").read_text())["eos_token_id"] == model.vocabulary.line_break
    assert "begins after a line break" in (tmp_path / "hf/README.md").read_text()


def test_half_precision(tmp_path: Path) -> None:
    made("gpt2").export("hf", tmp_path / "hf", weights="float16")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf", dtype="auto")
    assert theirs.dtype == torch.float16
    with pytest.raises(UserError, match="has no --weights int8"):
        made("gpt2").export("hf", tmp_path / "other", weights="int8")


def test_the_model_card_is_read_by_the_hub(tmp_path: Path, text_file: Path) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    shape = dict(n_layer=1, n_head=2, n_embd=16, block_size=16, batch_size=8, max_iters=20, eval_interval=20)
    model = letterwise.train(text_file, preset="gpt2", out=tmp_path / "run", progress=False, **shape)
    model.export("hf", tmp_path / "hf")
    card = hub.ModelCard.load(tmp_path / "hf/README.md")
    results = {each.metric_name: each.metric_value for each in card.data.eval_results}
    blocks, sliding = (model.evaluate(protocol=protocol).bits_per_char for protocol in ("blocks", "sliding"))
    assert results == {
        "bits per character (blocks)": pytest.approx(blocks, abs=1e-3),
        "bits per character (sliding)": pytest.approx(sliding, abs=1e-3),
    }
    assert model.data["fingerprint"] in card.text
    assert "counting alone" in card.text


def test_names_of_texts_cannot_leave_their_place_in_the_card(tmp_path: Path) -> None:
    model = made("gpt2")
    model.file.data["sources"] = ["/home/ada/`evil`\n---\n# Title <script>", "a: b\x1b[31m"]
    model.export("hf", tmp_path / "hf")
    card = (tmp_path / "hf/README.md").read_text()
    assert card.count("\n---\n") == 1
    assert "`evil`" not in card
    assert "/home/ada" not in card
    assert "\x1b" not in card
