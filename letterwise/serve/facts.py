"""Facts: what a list of models says of each, read from its file once."""

from pathlib import Path
from typing import Any

from letterwise.checkpoint.model_file import load_model
from letterwise.config.accounting import parameters
from letterwise.units import bits


def facts_of(path: Path) -> dict[str, Any]:
    """Of one model file. Raises `UserError` when it is none."""
    file = load_model(path)
    config, vocabulary = file.config, file.vocabulary
    best = [row["val_nats_per_char"] for row in file.history if row["best"] and row["val_nats_per_char"] is not None]
    return {
        "preset": config.preset,
        "size": config.size,
        "params": parameters(config.model, len(vocabulary)).total,
        "context": config.model.block_size,
        "kind": vocabulary.kind,
        "characters": vocabulary.characters,
        "lines": config.data.lines,
        "counts": file.counts is not None,
        "bits_per_char": bits(best[-1]) if best else None,
        "text": ", ".join(Path(name).name for name in file.data["sources"]),
    }
