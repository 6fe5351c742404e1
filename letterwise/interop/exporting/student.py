"""Student: a plain model that learned what another one predicts, and how far it came, beside one that had no teacher.

ModelFile, its own text ──train, with it as the teacher──▶ student ──the same minutes, without──▶ all figures in its record
"""

import tempfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from letterwise.checkpoint import ModelFile, load_model, save_model
from letterwise.checkpoint.text_model import text_model
from letterwise.checkpoint.texts import own_text
from letterwise.config import DataConfig
from letterwise.config.knob import default_of
from letterwise.data.prepare import prepare
from letterwise.errors import UserError
from letterwise.evaluation.evaluate import evaluate
from letterwise.progress import Progress
from letterwise.training.prepare import train

TEACHER, ALONE = "the teacher", "the same minutes without the teacher"
SHAPE = ("n_layer", "n_head", "n_kv_head", "n_embd", "ffn_hidden", "block_size")  # what a plan chooses of a model


def distilled(file: ModelFile, minutes: float, preset: Literal["gpt2", "llama"], progress: Progress) -> ModelFile:
    """A model of a `preset` that learned for `minutes` what `file` predicts of its own text.

    Its baselines have, in bits per character, what the teacher reaches, and what such a model reaches in the same minutes
    without it. Raises `UserError` when that text is gone, or another by now.
    """
    if file.config.data.read_once:
        raise UserError("--distill reads the text of training again, which came from stdin or a pipe: train from a file.")
    text = own_text(file, progress.note, missing="--distill reads it again.")
    if not np.array_equal(text.part("all"), prepare(file.config.data, base=file.vocabulary, note=progress.note).part("all")):
        raise UserError("the text changed since training, and --distill reads it again: bring the old one back.")
    held_out = text.part("val")
    if len(held_out) < 2:
        raise UserError("--distill measures on a validation part, and this model's text has none: train with one.")
    asked = {**text_of(file.config.data), "preset": preset, "minutes": minutes}
    with tempfile.TemporaryDirectory() as folder:
        teacher = Path(folder, "teacher.safetensors")
        save_model(teacher, file)
        progress.note(f"training a {preset} on what the model predicts, {minutes:g} minutes …")
        student = load_model(train({**asked, "teacher": str(teacher)}, out=f"{folder}/taught", progress=progress).model_path)
        progress.note(f"training the same without a teacher, to compare, {minutes:g} minutes …")
        shape = {name: getattr(student.config.model, name) for name in SHAPE}
        alone = load_model(train({**asked, **shape}, out=f"{folder}/alone", progress=progress).model_path)
    every = student.data["every"]
    bits = {
        name: evaluate(text_model(each), held_out, every=every).bits_per_char
        for name, each in ((TEACHER, file), (ALONE, alone))
    }
    record = student.data | {"baselines": student.data["baselines"] | bits}
    training = replace(student.config.training, teacher=None)  # its file is no longer there; the record tells which it was
    return replace(student, config=replace(student.config, training=training), data=record)


def text_of(data: DataConfig) -> dict[str, Any]:
    """What was asked of a text, as it is asked for again."""
    return {f.name: value for f in fields(data) if (value := getattr(data, f.name)) != default_of(f)}
