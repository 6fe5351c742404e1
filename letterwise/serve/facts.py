"""Facts: what a list of models says of each, read from the beginning of its file once."""

from pathlib import Path
from typing import Any

from letterwise.checkpoint.model_file import describe_model
from letterwise.units import bits


def facts_of(path: Path) -> dict[str, Any]:
    """Of one model file. Raises `UserError` when it is none."""
    file = describe_model(path)
    config, vocabulary = file.config, file.vocabulary
    best = file.best_validation
    return {
        "preset": config.preset,
        "size": config.size,
        "params": file.params,
        "context": config.model.block_size,
        "kind": vocabulary.kind,
        "characters": vocabulary.characters,
        "lines": config.data.lines,
        "counts": config.model.counts_order > 0,
        "bits_per_char": bits(best["val_nats_per_char"]) if best else None,
        "text": ", ".join(Path(name).name for name in file.data["sources"]),
    }
