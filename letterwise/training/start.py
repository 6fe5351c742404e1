"""Start: from what was asked for to a finished run.

flags, config.toml ──▶ Config ──▶ text, model, optimizers ──▶ Run ──▶ TrainResult, report.html
"""

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from letterwise.checkpoint import TrainingState, load_state
from letterwise.config import PARTS, Config, config_from_json, read_toml
from letterwise.counts import ORDER, Counts, CrossFitted, cross_fit, learn
from letterwise.data.batches import require
from letterwise.data.stream import TokenStream, prepare, reopen
from letterwise.errors import UserError
from letterwise.model import build, initialize
from letterwise.model.accounting import parameters
from letterwise.presets import resolve
from letterwise.runtime import Runtime, find_runtime
from letterwise.training.lookahead import Lookahead
from letterwise.training.loop import Run
from letterwise.training.optimizer import build_optimizers
from letterwise.training.outcome import TrainResult, baselines, result
from letterwise.training.plan import Plan, make_plan
from letterwise.training.progress import Progress
from letterwise.training.run_directory import RunDirectory, run_directory

CHANGEABLE = ("max_iters", "minutes", "eval_interval", "eval_chars", "patience", "device", "dtype", "compile", "threads")


def train(
    flags: dict[str, Any],
    *,
    config_file: str | None = None,
    out: str | None = None,
    model_path: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    started: float | None = None,
) -> TrainResult:
    """Train as `flags` (knobs of `config.py`, `preset`, `size`) say, or go on with the run in `out`.

    The run's clock begins at `started` (an instant of `time.monotonic`), or now.

    Raises `UserError` when something asked for cannot be done, before any file of an earlier run is touched;
    `Interrupted`, after saving, when a signal asks to stop.
    """
    started, progress = started or time.monotonic(), progress or Progress()
    config = absolute(resolve(flags, config_file))
    directory, state = run_directory(config, out, model_path), None
    if resume:
        state = load_state(directory.state)
        config = resumed_config(state, flags, config_file)
        directory = directory.with_model(state.model_path)
    elif not overwrite:
        directory.refuse_if_used()
    run = prepare_run(config, directory, state, progress, asked_for(flags, config_file))
    directory.make()
    if state:
        run.restore(state)
    else:
        directory.clear()
    progress.note(introduction(run))
    run.to_the_end(started)
    return result(run)


def plan(flags: dict[str, Any], *, config_file: str | None = None, progress: Progress | None = None) -> tuple[Config, Plan]:
    """What `train` would do with these flags, without doing it: the configuration, and the plan that led to it.

    Raises `UserError` when minutes are missing, or something asked for cannot be done.
    """
    config = absolute(resolve(flags, config_file))
    if not config.training.minutes:
        raise UserError("a plan is for a time: give --minutes.")
    stream = open_text(config, None, progress or Progress())
    return planned(config, asked_for(flags, config_file), stream, find_runtime(config.runtime))


def planned(config: Config, asked: set[str], stream: TokenStream, runtime: Runtime) -> tuple[Config, Plan]:
    """The configuration, completed by a plan for its minutes."""
    made = make_plan(config, asked, chars=len(stream.part("train")), vocab_size=len(stream.vocabulary), runtime=runtime)
    return config.with_values(made.values), made


def asked_for(flags: dict[str, Any], config_file: str | None) -> set[str]:
    """Names of what the caller settled, so that no plan may touch it."""
    return set(flags) | set(read_toml(config_file) if config_file else ())


def prepare_run(
    config: Config, directory: RunDirectory, state: TrainingState | None, progress: Progress, asked: set[str]
) -> Run:
    """Text, plan, model and optimizers for a run. Raises `UserError` when the text is too short or not the run's own."""
    runtime = find_runtime(config.runtime)
    stream = open_text(config, state, progress)
    if config.training.minutes and config.model.n_layer and not state:
        config, made = planned(config, asked, stream, runtime)
        for line in made.lines:
            progress.note(line)
    require(stream.part("train"), config.model.block_size, "training")
    model = initialize(build(config.model, len(stream.vocabulary)), config.training.rng_seed).to(runtime.device)
    if config.runtime.compile:
        for block in model.blocks:
            block.compile()
    lookahead = Lookahead(model) if config.training.lookahead and model.blocks else None
    optimizers = build_optimizers(model, config.training, lookahead)
    counts, crossfitted = count(config, stream)
    told = baselines(stream, counts or count_whole(config, stream, ORDER))
    return Run(config, directory, runtime, stream, model, lookahead, optimizers, counts, crossfitted, told, progress)


def count(config: Config, stream: TokenStream) -> tuple[Counts | None, CrossFitted | None]:
    """The counts that the model learns beside, and how it sees them while it learns, if its configuration asks for them."""
    training, order = config.training, config.model.counts_order
    if not order:
        return None, None
    counted = min(training.counts_chars, len(stream.part("train")))
    if counted < order:
        raise UserError(
            f"counts_order={order} is longer than the {counted} characters that are counted: "
            "lower --counts_order (0 for no counts)."
        )
    if not training.max_iters:  # counting alone
        return count_whole(config, stream, order), None
    folds, most = training.counts_folds, training.counts_chars
    crossfitted = cross_fit(stream.part("train"), len(stream.vocabulary), order, folds=folds, most=most)
    return crossfitted.counts, crossfitted


def count_whole(config: Config, stream: TokenStream, order: int) -> Counts:
    """The counts of the training part, as far as the configuration lets them reach."""
    counted = stream.part("train")[-config.training.counts_chars :]
    return learn(counted, len(stream.vocabulary), min(order, len(counted)))


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
