"""Facts: what a person wants to know of a model, a line each.

ModelFile ──▶ {"ensemble": its members, where it is one, "model": shape, "bricks", "vocabulary", "learned from", "trained with"}
"""

from pathlib import PurePath

from letterwise.checkpoint.model_file import ModelFile
from letterwise.config import ModelConfig


def facts(file: ModelFile, *, folders: bool = True) -> dict[str, str]:
    """What a person wants to know of a model, a line each; without `folders`, no word of where its texts lay."""
    model, training, vocabulary = file.config.model, file.config.training, file.vocabulary
    lines = "lines of " if file.config.data.lines else ""
    characters = repr(vocabulary.characters) if vocabulary.kind == "char" else "every byte"
    sources = file.data["sources"] if folders else [PurePath(name).name for name in file.data["sources"]]
    learned = f"{lines}{', '.join(sources)} (fingerprint {file.data['fingerprint'][:16]})"
    trained = f"{training.optimizer}, batch {training.batch_size}, rng_seed {training.rng_seed}"
    if file.imported:
        learned = trained = f"not known here: the model was imported ({file.imported})"
    members = " · ".join(f"{each.weight:.3g} × {shape_of(each.model)}, {counting(each.model)}" for each in file.members)
    return {
        **({"ensemble": f"{len(file.members)} members: {members}"} if members else {}),
        "model": f"{file.config.preset} {file.config.size}: {shape_of(model)}, context {model.block_size}",
        "bricks": f"{model.positions} positions, {model.norm} norm ({model.norm_order}), {model.activation}",
        "vocabulary": f"{len(vocabulary)}: {characters if len(characters) < 400 else characters[:400] + '…'}",
        "learned from": learned,
        "trained with": trained,
    }


def shape_of(model: ModelConfig) -> str:
    """How large an architecture is."""
    return f"{model.n_layer} layers, {model.n_head} heads, width {model.n_embd}"


def counting(model: ModelConfig) -> str:
    """Whether it builds on counts."""
    return f"counts of order {model.counts_order}" if model.counts_order else "no counts"
