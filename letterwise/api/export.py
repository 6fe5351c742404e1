"""Export: a model as files that other programs read.

LanguageModel ──its exporter (letterwise/interop/exporting)──▶ a folder, there as a whole or not at all
"""

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from typing import Literal, assert_never, get_args

from letterwise.api.loaded import LoadedModel
from letterwise.atomic import replacing_folder
from letterwise.checkpoint.ensemble import require_single
from letterwise.config.arguments import argument
from letterwise.config.file_names import local
from letterwise.errors import UserError, did_you_mean
from letterwise.progress import Progress

Target = Literal["hf", "gguf", "onnx", "html"]
Weights = Literal["float32", "float16", "int8"]
Student = Literal["llama", "gpt2"]
EXTRA = "pip install 'letterwise[export]'"
WRITTEN = {  # by any exporter: a folder that holds nothing else is an export
    "README.md", "config.json", "generation_config.json", "index.html", "model.gguf", "model.safetensors", "onnx/model.onnx",
    "tokenizer.json", "tokenizer_config.json",
}  # fmt: skip


@dataclass(frozen=True)
class Exported:
    """What an export wrote: a folder, and its files by name, each with its size in bytes."""

    output_dir: str
    files: dict[str, int]


class Exporter(LoadedModel):
    """A model that travels."""

    def export(
        self,
        to: Target,
        output_dir: str | PathLike[str],
        *,
        weights: Weights | None = None,
        distill: float = 0.0,
        student: Student = "llama",
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> Exported:
        """Write the model as another program reads it, into a new folder.

        Args:
            to: "hf" (transformers), "gguf" (llama.cpp), "onnx" (onnxruntime, transformers.js), "html" (a page for a browser).
            output_dir: the folder; it appears complete or not at all.
            weights: "float32", "float16" or "int8", where the target has it (None: float16 for "html", float32 for others).
            distill: train a plain model for so many minutes on what this one predicts, and export that one instead (0: off).
                Then one without a teacher is trained for as long, to compare. The text of training is read again.
            student: what that plain model is: "llama" or "gpt2".
            overwrite: replace the folder of an earlier export.
            progress: is notified of what takes long, and of what the copy does otherwise than the model.

        Raises:
            UserError: the target has no place for a part of the model, which is named; the folder is not empty; a package is
                missing; the text of training is gone (`distill`); or the operating system refuses.
        """
        for value, kind in ((to, Target), (weights or "float32", Weights), (student, Student)):
            if value not in (allowed := get_args(kind)):
                raise UserError(f"{value!r} is not known here: {did_you_mean(str(value), allowed)}")
        place, progress, file = local(output_dir), progress or Progress(), self.file
        with replacing_folder(place, replaceable=WRITTEN if overwrite else None) as folder:
            if minutes := argument("distill", distill, float, 0):
                from letterwise.interop.exporting.student import distilled

                file = distilled(file, minutes, student, progress)
            require_single(file, f"--to {to} without --distill MINUTES")
            try:
                exporter(to)(file, folder, **({"weights": weights} if weights else {}), note=progress.note)
            except ModuleNotFoundError as error:
                raise UserError(f"--to {to} needs the package {error.name}, which is not installed: {EXTRA}.") from error
            files = {
                path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()
            }
        return Exported(place, files)


def exporter(to: Target) -> Callable[..., None]:
    """What writes for a target: a model file, an empty folder, `weights` and `note` in, nothing out."""
    match to:
        case "hf":
            from letterwise.interop.exporting.hf import write
        case "gguf":
            from letterwise.interop.exporting.gguf import write
        case "onnx":
            from letterwise.interop.exporting.onnx import write
        case "html":
            from letterwise.interop.exporting.html import write
        case _:
            assert_never(to)
    return write
