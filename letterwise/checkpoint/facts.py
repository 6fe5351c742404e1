"""Facts: what a person wants to know of a model, a line each.

ModelFile ──▶ {"model": shape, "bricks", "vocabulary", "learned from", "trained with"}
"""

from pathlib import PurePath

from letterwise.checkpoint.model_file import ModelFile


def facts(file: ModelFile, *, folders: bool = True) -> dict[str, str]:
    """What a person wants to know of a model, a line each; without `folders`, no word of where its texts lay."""
    model, training, vocabulary = file.config.model, file.config.training, file.vocabulary
    shape = f"{model.n_layer} layers, {model.n_head} heads, width {model.n_embd}, context {model.block_size}"
    lines = "lines of " if file.config.data.lines else ""
    characters = repr(vocabulary.characters) if vocabulary.kind == "char" else "every byte"
    sources = file.data["sources"] if folders else [PurePath(name).name for name in file.data["sources"]]
    learned = f"{lines}{', '.join(sources)} (fingerprint {file.data['fingerprint'][:16]})"
    trained = f"{training.optimizer}, batch {training.batch_size}, rng_seed {training.rng_seed}"
    if file.imported:
        learned = trained = f"not known here: the model was imported ({file.imported})"
    return {
        "model": f"{file.config.preset} {file.config.size}: {shape}",
        "bricks": f"{model.positions} positions, {model.norm} norm ({model.norm_order}), {model.activation}",
        "vocabulary": f"{len(vocabulary)}: {characters if len(characters) < 400 else characters[:400] + '…'}",
        "learned from": learned,
        "trained with": trained,
    }
