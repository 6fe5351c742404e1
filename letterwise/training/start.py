"""Start: from what was asked for to a finished run.

flags, config.toml ──▶ Config ──▶ text, model, optimizers ──▶ Run ──▶ TrainResult, report.html
"""

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from letterwise.checkpoint import TrainingState, load_model, load_state, restore
from letterwise.config import PARTS, Config, config_from_json
from letterwise.counts import CrossFitted, cross_fit, learn
from letterwise.data.batches import require
from letterwise.data.stream import TokenStream, prepare, reopen
from letterwise.errors import UserError
from letterwise.evaluation import frequency_bits
from letterwise.inference.sampling import Sampler
from letterwise.inference.stream import write
from letterwise.loss import bits
from letterwise.model import build, initialize
from letterwise.model.accounting import parameters
from letterwise.presets import resolve
from letterwise.runtime import find_runtime
from letterwise.training.loop import Run
from letterwise.training.optimizer import build_optimizers
from letterwise.training.progress import Progress, clock
from letterwise.training.report import write_report
from letterwise.training.run_directory import RunDirectory, run_directory

CHANGEABLE = ("max_iters", "minutes", "eval_interval", "eval_chars", "patience", "device", "dtype", "compile", "threads")


@dataclass(frozen=True)
class TrainResult:
    """What a run came to. Validations are None when the text has no validation part."""

    model_path: str
    run_dir: str
    iters: int
    chars_seen: int
    train_seconds: float
    best_val_nats_per_char: float | None
    best_val_bits_per_char: float | None
    val_nats_per_char: float | None
    params: int
    vocab_size: int
    opening: str
    sample: str

    def to_json(self) -> dict[str, Any]:
        """Plain containers."""
        return asdict(self)


def train(
    flags: dict[str, Any],
    *,
    config_file: str | None = None,
    out: str | None = None,
    model_path: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> TrainResult:
    """Train as `flags` (knobs of `config.py`, `preset`, `size`) say, or go on with the run in `out`.

    Raises `UserError` when something asked for cannot be done, before any file of an earlier run is touched;
    `Interrupted`, after saving, when a signal asks to stop.
    """
    started, progress = time.monotonic(), progress or Progress()
    config = absolute(resolve(flags, config_file))
    directory, state = run_directory(config, out, model_path), None
    if resume:
        state = load_state(directory.state)
        config = resumed_config(state, flags, config_file)
        directory = directory.with_model(state.model_path)
    elif not overwrite:
        directory.refuse_if_used()
    run = prepare_run(config, directory, state, progress)
    directory.make()
    if state:
        run.restore(state)
    else:
        directory.clear()
    progress.note(introduction(run))
    run.to_the_end(started)
    return finish(run)


def prepare_run(config: Config, directory: RunDirectory, state: TrainingState | None, progress: Progress) -> Run:
    """Text, model and optimizers for a run. Raises `UserError` when the text is too short or not the run's own."""
    runtime = find_runtime(config.runtime)
    stream = open_text(config, state, progress)
    require(stream.part("train"), config.model.block_size, "training")
    model = initialize(build(config.model, len(stream.vocabulary)), config.training.rng_seed).to(runtime.device)
    if config.runtime.compile:
        for block in model.blocks:
            block.compile()
    optimizers = build_optimizers(model, config.training)
    return Run(config, directory, runtime, stream, model, optimizers, count(config, stream), progress)


def count(config: Config, stream: TokenStream) -> CrossFitted | None:
    """The counts that the model learns beside, if its configuration asks for them."""
    if not config.model.counts_order:
        return None
    training, order = config.training, config.model.counts_order
    folds, most = training.counts_folds, training.counts_chars
    return cross_fit(stream.part("train"), len(stream.vocabulary), order, folds=folds, most=most)


def open_text(config: Config, state: TrainingState | None, progress: Progress) -> TokenStream:
    """The run's text. A resumed run must find the text it began with (what came from stdin is kept by the cache)."""
    if state and config.data.input_file == ("-",) and (kept := reopen(state.fingerprint)):
        return kept
    stream = prepare(config.data, note=progress.note)
    if state and stream.fingerprint != state.fingerprint:
        raise UserError(
            f"the text changed since the run began (fingerprint {state.fingerprint[:12]}, now {stream.fingerprint[:12]}): "
            "bring the old text back, or start anew with --overwrite."
        )
    return stream


def resumed_config(state: TrainingState, flags: dict[str, Any], config_file: str | None) -> Config:
    """The run's own configuration, with the changes asked for. Raises `UserError` on one that a run cannot survive."""
    began = config_from_json(state.config)
    asked = absolute(resolve({"preset": began.preset, "size": began.size, **flags}, config_file))
    old, new = ({k: v for part in PARTS for k, v in asdict(getattr(c, part)).items()} for c in (began, asked))
    named = {**({name: new[name] for name in new} if config_file else {}), **{k: new[k] for k in flags if k in new}}
    for name, value in {**named, "preset": asked.preset, "size": asked.size}.items():
        before = getattr(began, name) if name in ("preset", "size") else old[name]
        if value != before and name not in CHANGEABLE:
            raise UserError(f"this run has {name}={before!r}, not {value!r}: --resume can change {', '.join(CHANGEABLE)} only.")
    return began.with_values({name: value for name, value in named.items() if name in CHANGEABLE})


def absolute(config: Config) -> Config:
    """The configuration with its files named from the root, so that the run can be resumed from anywhere."""

    def anchored(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name if name == "-" else str(Path(name).absolute()) for name in names)

    data = config.data
    return replace(config, data=replace(data, input_file=anchored(data.input_file), val_file=anchored(data.val_file)))


def introduction(run: Run) -> str:
    """What is about to happen, in one line."""
    params = parameters(run.config.model, len(run.stream.vocabulary)).total
    train, val = len(run.stream.part("train")), len(run.stream.part("val"))
    return (
        f"{run.config.preset} {run.config.size}: {params:,} parameters, {train:,} characters to learn, {val:,} to validate on, "
        f"{len(run.stream.vocabulary)} different; {run.runtime}; {run.directory.path}"
    )


def finish(run: Run) -> TrainResult:
    """Write the report, and let the model file speak: the sample comes from the file, as a user's would."""
    file, best, last = load_model(run.directory.model_path), run.best, run.rows[-1]
    assert best is not None
    sampler = Sampler(temperature=0.8)
    options = dict(num_tokens=300, sampler=sampler, counts=file.counts, rng_seed=1)
    sample = "".join(write(restore(file), file.vocabulary, "", **options))
    nats = best["val_nats_per_char"]
    result = TrainResult(
        model_path=str(run.directory.model_path),
        run_dir=str(run.directory.path),
        iters=run.step,
        chars_seen=run.chars_seen,
        train_seconds=round(run.seconds, 3),
        best_val_nats_per_char=nats,
        best_val_bits_per_char=None if nats is None else bits(nats),
        val_nats_per_char=last["val_nats_per_char"],
        params=parameters(run.config.model, len(file.vocabulary)).total,
        vocab_size=len(file.vocabulary),
        opening=opening(run.stream),
        sample=sample,
    )
    title, page = run.directory.path.name, run.directory.report
    write_report(page, title=title, facts=facts(run, result), rows=run.rows, baseline_bits=baselines(run.stream))
    return result


def baselines(stream: TokenStream) -> dict[str, float]:
    """What the curves are to be compared with, in bits per character."""
    if not len(stream.part("val")):
        return {}
    return {"letter frequencies alone": frequency_bits(stream.part("train"), stream.part("val"), len(stream.vocabulary))}


def opening(stream: TokenStream) -> str:
    """The first words of the text: a seed that the model is sure to know."""
    line = stream.vocabulary.decode(stream.ids[:200]).strip().split("\n")[0]
    return " ".join(line.split()[:2])[:24]


def facts(run: Run, result: TrainResult) -> dict[str, str]:
    """What the report's table says."""
    val = "no validation part"
    if result.best_val_bits_per_char is not None:
        val = f"{result.best_val_bits_per_char:.4f} bits = {result.best_val_nats_per_char:.4f} nats per character"
    return {
        "text": ", ".join(run.stream.sources),
        "characters": f"{len(run.stream.part('all')):,}, {result.vocab_size} different",
        "model": f"{run.config.preset} {run.config.size}, {result.params:,} parameters",
        "best validation": val,
        "trained for": f"{result.iters:,} steps, {result.chars_seen:,} characters, {clock(result.train_seconds)}",
        "hardware": str(run.runtime),
        "model file": result.model_path,
    }
