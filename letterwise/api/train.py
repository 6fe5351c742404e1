"""Train: from a text to a model; and a text as training reads it.

input_file, options ──training.prepare──▶ a run directory ──load──▶ LanguageModel
"""

from os import PathLike
from typing import Any, Literal, Unpack

from letterwise.api.model import LanguageModel, load
from letterwise.api.options import TrainOptions
from letterwise.config import DataConfig
from letterwise.config.arguments import Files, file_names
from letterwise.config.file_names import local
from letterwise.config.presets import asked_values
from letterwise.progress import Progress, progress_for_caller
from letterwise.runtime.waiting import share_processors


def train(
    input_file: Files | None = None,
    *,
    config: str | PathLike[str] | None = None,
    out: str | PathLike[str] | None = None,
    model_path: str | PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | bool = True,
    **options: Unpack[TrainOptions],
) -> LanguageModel:
    """Train a model and return its best state; the run's files lie in `out`, as after `letterwise train`.

    Args:
        input_file: one or several files, folders or globs; without it (and without `dataset=`), the embedded text.
        config: a TOML file of options.
        out, model_path, resume, overwrite: as the flags of that name.
        progress: shown on stderr, or below a notebook's cell; False is silent; a `Progress` is notified instead.
        options: `preset`, `size`, and every flag of `letterwise train --help`, like `max_iters=500`: see docs/flags.md.

    Raises:
        UserError: something asked for cannot be done.
    """
    share_processors()
    from letterwise.training.prepare import train
    from letterwise.training.several.members import completed, is_ensemble, train_members

    if not isinstance(progress, Progress):
        progress = progress_for_caller() if progress else Progress()
    flags: dict[str, Any] = dict(options)
    files = {"input_file": file_names(input_file), "val_file": file_names(flags.get("val_file"))}
    flags |= {name: names for name, names in files.items() if names is not None}
    for name in ("init_from", "teacher"):
        if flags.get(name) is not None:
            flags[name] = local(flags[name])
    for name in ("freeze", "tracker"):
        if name in flags:
            flags[name] = (flags[name],) if isinstance(flags[name], str) else tuple(flags[name])
    file, out, model_path = (None if path is None else local(path) for path in (config, out, model_path))
    asked = asked_values(flags, file)
    if not resume:
        asked = completed(asked, progress)
    learn = train_members if is_ensemble(asked, out, model_path, resume=resume) else train
    result = learn(
        asked,
        out=out,
        model_path=model_path,
        resume=resume,
        overwrite=overwrite,
        progress=progress,
    )
    model = load(result.model_path, device=flags.get("device", "auto"))
    if model.device == "cpu":
        from letterwise.inference.cpu.ahead import begin

        begin()
    return model


def read_text(
    input_file: Files,
    *,
    encoding: str | None = None,
    vocab: Literal["char", "byte"] = "char",
    progress: Progress | None = None,
) -> str:
    """The text of one or several files, folders or globs. Raises `UserError` when it cannot be read, or is empty.

    With `vocab="byte"`, any bytes; those that are no UTF-8 are lone surrogates in it, as a byte model's vocabulary spells them.
    """
    from letterwise.data.prepare import prepare

    config = DataConfig(input_file=file_names(input_file), encoding=encoding, vocab=vocab)
    stream = prepare(config, note=(progress or Progress()).note)
    return stream.vocabulary.decode(stream.part("all"))
