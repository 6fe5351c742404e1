"""Read: whose model is it? A folder with a model_type is Hugging Face's; other folders hold a checkpoint, and files are one."""

from pathlib import Path

from letterwise.checkpoint import ModelFile
from letterwise.errors import UserError
from letterwise.interop.importing.files import about, read_json
from letterwise.interop.importing.gpt import read_gpt
from letterwise.interop.importing.hugging_face import read_hugging_face
from letterwise.interop.importing.original import Wanted, as_model_file
from letterwise.progress import Note

CHECKPOINTS = ("ckpt.pt", "model.pt")  # what nanoGPT and minGPT call theirs


def read_original(path: Path, wanted: Wanted, note: Note) -> ModelFile:
    """The model in a file or a folder, as one of ours. Raises `UserError` when it is none that can be imported."""
    if not path.is_dir():
        if path.suffix == ".safetensors":
            raise UserError(f"{str(path)!r} holds weights alone: name the folder it is in, with its config.json.")
        original = read_gpt(path, wanted, note)
    elif _is_hugging_face(path):
        for name in ("n_head", "activation"):
            if getattr(wanted, name) is not None:
                raise UserError(f"the config.json in {str(path)!r} says it: leave out --{name}.")
        original = read_hugging_face(path, wanted, note)
    else:
        inside = [path / name for name in CHECKPOINTS if (path / name).exists()]
        if not inside:
            raise UserError(
                f"{str(path)!r} holds no model: neither the config.json of Hugging Face's, nor {' nor '.join(CHECKPOINTS)}."
            )
        original = read_gpt(inside[0], wanted, note)
    with about(path):
        return as_model_file(original, note)


def _is_hugging_face(folder: Path) -> bool:
    config = folder / "config.json"
    return config.exists() and "model_type" in read_json(config)
