"""Import: a model of another program.

path of a checkpoint or a folder ──interop/importing──▶ LanguageModel, to be saved, scored, fine-tuned like one of ours
"""

from os import PathLike
from pathlib import Path

from letterwise.api.model import LanguageModel
from letterwise.config.arguments import Files, argument, file_names
from letterwise.config.file_names import local
from letterwise.progress import Progress


def import_model(
    path: str | PathLike[str],
    *,
    meta: str | PathLike[str] | None = None,
    vocabulary_from: Files | None = None,
    n_head: int | None = None,
    activation: str | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> LanguageModel:
    """Read a model of another program, without running anything that it brings. It gives the same logits as there.

    Args:
        path: a checkpoint of nanoGPT (ckpt.pt), minGPT or build-nanogpt, or a Hugging Face folder (GPT-2, Llama, OPT).
        meta: nanoGPT's meta.pkl, with the character of each token (None: the one beside the checkpoint, or its dataset's).
        vocabulary_from: or the text that the model learned, where its tokens are the sorted set of the text's characters.
        n_head: how many attention heads it has, where its files do not say.
        activation: `gelu_erf` (nanoGPT) or `gelu` (GPT-2), where its files do not say.
        device: where it is to compute.
        progress: is notified of tokens that are left out.

    Raises:
        UserError: there is no such model, it is damaged or brings code, it is not character-level, or it has a part that
            Letterwise has not. The message names it.
    """
    from letterwise.interop.importing import Wanted, read_original

    wanted = Wanted(
        local(meta) if meta is not None else None,
        tuple(file_names(vocabulary_from) or ()),
        argument("n_head", n_head, int),
        argument("activation", activation, str),
    )
    return LanguageModel(read_original(Path(local(path)), wanted, (progress or Progress()).note), device)
