"""Model card: what a stranger wants to know of a model before they use it, from its own record.

ModelFile ──▶ README.md: YAML for huggingface.co, then what it is, how good, from which text and how it was trained

Names of texts come from anybody. In the YAML they are JSON, which is YAML, too.
"""

import json
import math
from typing import Any

from letterwise.checkpoint.model_file import UNKNOWN_TEXT, ModelFile
from letterwise.checkpoint.texts import Reading, part_ids
from letterwise.config.accounting import parameters
from letterwise.errors import UserError
from letterwise.interop.exporting.record import listed, sources
from letterwise.printable import printable
from letterwise.progress import Note
from letterwise.units import bits

SCORED_CHARS = 2**17  # at most about so many, spread evenly: more takes long and says little more
PROTOCOLS = {
    "blocks": "windows of a whole context side by side: the first character of each has nothing before it",
    "sliding": "each character has at least half a context before it",
}
LICENCE = ["", "## Licence", "", "To be filled in by whoever owns the text and the model."]


def model_card(file: ModelFile, note: Note) -> str:
    """The README of a model. Figures are measured now where its validation text is there, else those of training."""
    rows = measured(file, note) or recorded(file)
    front = {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["letterwise", "character-level"],
        "model-index": [{"name": title(file), "results": [_result(file, row) for row in rows]}],
    }
    lines = ["---", *(f"{key}: {json.dumps(value)}" for key, value in front.items() if rows or key != "model-index"), "---"]
    return "\n".join([*lines, *_body(file, rows)]) + "\n"


def title(file: ModelFile) -> str:
    """What it is called: by its texts."""
    return f"A character-level model of {texts_of(file)}"


def texts_of(file: ModelFile) -> str:
    """Its texts by name, where a line break or a backtick could end what they stand in."""
    return listed([name.replace("`", "'") for name in sources(file)], 3)


def measured(file: ModelFile, note: Note) -> list[dict[str, Any]]:
    """Bits per character of the validation part of its own text, by each protocol; nothing where that text is gone."""
    from letterwise.checkpoint.text_model import text_model
    from letterwise.evaluation.evaluate import evaluate

    try:
        ids, _, _ = part_ids(file, None, "val", Reading("error", None, note))
    except UserError:
        return []
    every, rows, model = math.ceil(len(ids) / SCORED_CHARS), [], text_model(file)
    for protocol, meaning in PROTOCOLS.items():
        note(f"scoring the validation part for the model card ({protocol}) …")
        score = evaluate(model, ids, protocol=protocol, every=every)
        rows.append({"protocol": protocol, "bits": score.bits_per_char, "chars": score.chars, "meaning": meaning})
    return rows


def recorded(file: ModelFile) -> list[dict[str, Any]]:
    """The best validation that training wrote down."""
    if not (row := file.best_validation):
        return []
    nats, chars = row["val_nats_per_char"], row.get("val_chars")
    return [{"protocol": "blocks", "bits": bits(nats), "chars": chars, "meaning": "as it was measured in training"}]


def opening(file: ModelFile) -> str:
    """A prompt that its vocabulary can spell."""
    if file.line_break is not None:
        return "\n"
    written = file.history[-1]["sample"].split() if file.history else []
    return next(iter(written), file.vocabulary.decode([len(file.vocabulary) // 2]))


def _result(file: ModelFile, row: dict[str, Any]) -> dict[str, Any]:
    """A measurement as Hugging Face's pages list it."""
    name = f"bits per character ({row['protocol']})"
    return {
        "task": {"type": "text-generation"},
        "dataset": {"name": texts_of(file), "type": "text", "split": "validation"},
        "metrics": [{"type": "bits_per_character", "name": name, "value": round(row["bits"], 4)}],
    }


def _body(file: ModelFile, rows: list[dict[str, Any]]) -> list[str]:
    """The text of the card, in lines."""
    model, training, vocabulary, data = file.config.model, file.config.training, file.vocabulary, file.data
    alphabet = "all 256 bytes" if vocabulary.kind == "byte" else f"{len(vocabulary)} characters"
    lines = [
        f"# {title(file)}",
        "",
        f"A transformer of {parameters(model, len(vocabulary)).total:,} parameters that reads and writes {alphabet}, one token "
        f"for each: {model.n_layer} layers, {model.n_head} heads, width {model.n_embd}, context {model.block_size}.",
        "",
        "```python",
        "from transformers import pipeline",
        "",
        'write = pipeline("text-generation", model=".")',
        f'print(write({json.dumps(opening(file))}, max_length={model.block_size})[0]["generated_text"])',
        "```",
        "",
        "A character outside the vocabulary is an error. A text and what is written after it must fit the context.",
    ]
    if file.line_break is not None:
        lines.append(
            "It is a model of lines: each begins after a line break, so a prompt begins with one, and a line ends with one."
        )
    if rows:
        lines += ["", "## How good it is", "", "On the validation part of its text, which it did not learn from:", ""]
        lines += ["| protocol | bits per character | characters | |", "|---|---|---|---|"]
        lines += [f"| {row['protocol']} | {row['bits']:.4f} | {row['chars'] or '?'} | {row['meaning']} |" for row in rows]
        lines += [f"| {name} | {value:.4f} | | to compare with |" for name, value in data.get("baselines", {}).items()]
    lines += ["", "## What it learned from", ""]
    if file.imported:
        return [
            *lines,
            f"It was imported ({printable(file.imported, one_line=True)}): what text it learned, and how, is not known here.",
            *LICENCE,
        ]
    lines += [
        f"* text: `{texts_of(file)}`",
        f"* sha256 of the text: `{data['fingerprint']}`",
    ]
    if taught := data.get("teacher"):
        lines.append(
            f"* beside the text, it learned what the model `{taught['model'][:16]}` of that text predicts (distillation)"
        )
    for each in file.lineage:
        known = each["fingerprint"] != UNKNOWN_TEXT["fingerprint"]
        text = f"the text `{each['fingerprint'][:16]}`" if known else "a text that is not known"
        lines.append(f"* fine-tuned from the model `{each['model'][:16]}` of {text}")
    lines += ["", "## How it was trained", "", f"* preset `{file.config.preset}`, size `{file.config.size}`"]
    lines.append(f"* {training.optimizer}, batch {training.batch_size}, peak learning rate {training.learning_rate:g}")
    if file.history:
        last = file.history[-1]
        lines.append(f"* {last['step']:,} steps, {last['chars']:,} characters, {last['seconds']:.0f} s")
    return [*lines, "", "Trained and exported with Letterwise.", *LICENCE]
