"""Prepare: from what was asked for to a finished run.

flags, config.toml ──▶ Config ──▶ text, model, optimizers ──▶ Run ──▶ TrainResult, report.html
"""

from collections.abc import Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from letterwise.checkpoint.training_state import TrainingState, load_state
from letterwise.checkpoint.weights import load_weights
from letterwise.compiling.clock import clock
from letterwise.config import Config
from letterwise.config.accounting import parameters
from letterwise.config.declaration import MAX_COUNT
from letterwise.config.presets import bent, knob_values, resolve
from letterwise.data.batches import require_window
from letterwise.data.token_stream import TokenStream
from letterwise.distributed.data_parallel import in_parallel
from letterwise.distributed.environment import launch, restarted
from letterwise.distributed.sharded import filling, sharded
from letterwise.distributed.shared_memory import built_once
from letterwise.distributed.world import ALONE, World, joined
from letterwise.errors import UserError
from letterwise.model import Transformer, build, initialize
from letterwise.ngrams import ORDER, Counts, adapt, kept
from letterwise.ngrams.passage_fit import IN_MEMORY, TrainingPrior
from letterwise.progress import Note, Progress, announced
from letterwise.runtime.device import Runtime
from letterwise.runtime.layers import compile_windows, recompute
from letterwise.runtime.process import process_state_kept
from letterwise.training.budget import Budget
from letterwise.training.distill import written
from letterwise.training.distill.teacher import taught, teacher_for
from letterwise.training.finetune.base import Base, with_base
from letterwise.training.finetune.finetuning import FineTuning, start
from letterwise.training.finetune.freeze import freeze
from letterwise.training.loading.shared_counts import to_be_shared
from letterwise.training.metrics.meter import Meter
from letterwise.training.metrics.record import Record
from letterwise.training.metrics.tracking import Tracking, tracker_class, tracking
from letterwise.training.optimizers.multi_token import MultiTokenHead
from letterwise.training.optimizers.objective import TEACHER_WEIGHT, Objective
from letterwise.training.optimizers.optimizer import build_optimizers
from letterwise.training.planning.memory import needs, size_text
from letterwise.training.planning.plan import counting
from letterwise.training.planning.settings import absolute, note_adapted
from letterwise.training.report.result import TrainResult, result
from letterwise.training.resume import MODELS, resume_notes, resumed_config, resumed_models
from letterwise.training.run import Run, in_shares
from letterwise.training.run_directory import RunDirectory, run_directory
from letterwise.training.saver import Saver
from letterwise.training.together import own_runtime, require_share, settled, told_settings
from letterwise.training.trainer import Trainer

PLACING = ("preset", "size", "input_file", "dataset")  # what a run directory is called after
ASSUMED_VOCAB_SIZE = 256  # where memory is estimated before the text is read


def train(
    flags: dict[str, Any],
    *,
    out: str | None = None,
    model_path: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    started: float | None = None,
) -> TrainResult:
    """Train as `flags` (declared knobs, `preset`, `size`) say, or go on with the run in `out`.

    The run's clock begins at `started` (an instant of `clock`, which stands still while functions are compiled), or now.

    Raises `UserError` when something asked for cannot be done, before any file of an earlier run is touched;
    `Interrupted`, after saving, when a signal asks to stop.
    """
    started = started or clock()
    with joined() as world, process_state_kept(), ExitStack() as held:
        progress = progress if progress and world.first else Progress()
        teacher, flags = (None, flags) if resume else taught(flags)
        base, flags, values = (None, flags, flags) if resume else with_base(flags)
        config = absolute(resolve({name: flags[name] for name in PLACING if name in flags} if resume else values))
        directory, state = run_directory(config, out, model_path), None
        directory = directory if world.first else directory.looked_at()
        if not resume and restarted() and world.told(directory.is_of(launch())):  # the first may soon change what is there
            resume, flags = True, {}  # what was asked is in the state
        asked = set(flags)
        if there := directory.is_there():
            held.enter_context(directory.locked())
        if resume:
            state = world.first_then_others(lambda: load_state(directory.state, progress.note))
            config = resumed_config(state, flags)
            base, teacher = resumed_models(config, state)
            directory = directory if model_path else directory.with_model(state.model_path)
        else:
            if not overwrite:
                directory.refuse_if_used()
            note_adapted(progress, "what was asked", bent(flags))
        held.enter_context(enough_memory(config))
        for name in MODELS:
            directory.refuse_to_replace(name, getattr(config.training, name))
        run = prepare_run(config, directory, state, progress, asked, base, teacher, world)
        directory.make()
        if not there:
            held.enter_context(directory.locked())
            if not overwrite:  # another process may have been faster
                directory.refuse_if_used()
        directory.remove_leftovers()
        told = held.enter_context(trackers_of(run, progress.note, resumed=bool(state)))
        if state:
            run.restore(state)
            for line in resume_notes(run, state):
                progress.note(line)
        else:
            directory.clear()
        directory.mark(launch())
        progress.note(introduction(run))
        return learn(run, Saver(run.config.training, progress.note, told), progress, None if state else started)


def learn(run: Run, saver: Saver, progress: Progress, started: float | None) -> TrainResult:
    """The run itself, and what it came to. The clock of one that goes on, which was not `started`, stood still meanwhile.

    Raises what `Trainer.train` raises, and `UserError` where memory runs out.
    """
    with enough_memory(run.config, saver):
        if run.teacher and run.config.training.teacher_writes and not run.finished():
            saver.save(run)  # who is stopped while the teacher writes goes on from here
            run.teacher = written.with_written(run.teacher, run.directory.written, run.config, run.world, progress.note)
        Trainer(run, saver, progress).train(clock() - run.seconds if started is None else started)
    return result(run)


def trackers_of(run: Run, note: Note, *, resumed: bool) -> AbstractContextManager[Tracking]:
    """While it lasts, the run's rows can be sent to its trackers; of several processes, the first does that."""
    config = {"preset": run.config.preset, "size": run.config.size, **knob_values(run.config)}
    config = {name: list(value) if isinstance(value, tuple) else value for name, value in config.items()}
    told = {"name": run.directory.path.name, "directory": run.directory.path, "config": config}
    names = run.config.runtime.tracker if run.world.first else ()
    return tracking(names, told, run.directory.tracking, resumed=resumed, note=note)


@contextmanager
def enough_memory(config: Config, saver: Saver | None = None) -> Generator[None]:
    """Turns running out of memory into a `UserError` that says what needs it, what would need less, and what is saved."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        model, training = config.model, config.training
        need = needs(config, vocab_size=ASSUMED_VOCAB_SIZE, chars=0).total
        recompute, again = "give --activation_checkpointing, or ", ", or with --activation_checkpointing"
        if config.runtime.activation_checkpointing:
            recompute = again = ""
        step = saver.step if saver else None
        saved = f" The state after step {step} is saved: --resume goes on from it where more memory is free{again}."
        raise UserError(
            f"out of memory: {model.n_layer} layers of width {model.n_embd} with batch_size={training.batch_size} and "
            f"block_size={model.block_size} need about {size_text(need)}, without counts and the text: {recompute}lower "
            "--batch_size (and raise --gradient_accumulation_steps by as much), --block_size, --n_embd or --counts_chars."
            f"{saved if step else ''}"
        ) from error


def prepare_run(
    config: Config,
    directory: RunDirectory,
    state: TrainingState | None,
    progress: Progress,
    asked: set[str],
    base: Base | None = None,
    teacher: Base | None = None,
    world: World = ALONE,
) -> Run:
    """Text, plan, model and optimizers for a run.

    Raises `UserError` when the text is too short or not the run's own, or when `state` is none of such a run.
    """
    for name in config.runtime.tracker if world.first else ():
        tracker_class(name)  # may object: before the text is read
    runtime = own_runtime(config.runtime, world)
    torch.set_num_threads(runtime.threads)
    known = base or teacher  # whose characters are known, too
    vocabulary = known.file.vocabulary if known else None
    config, stream = settled(config, state, progress, asked, vocabulary, runtime, world) if world.first else (config, None)
    config, stream = told_settings(config, stream, vocabulary, world)
    require_share(config, world)
    written.require_window(config)
    if not stream.lines:  # of lines, one is enough
        require_window(stream.part("train"), config.model.block_size)
    if state:
        state.check(len(stream.vocabulary))  # before anything of that size is built
    replay = config.training.replay
    finetuning = start(base, stream.vocabulary, progress.note, replay=replay) if base else None
    model, multi_token, objective = built(config, stream, runtime, finetuning, world)
    training, before, note = config.training, finetuning.start.counts if finetuning else None, progress.note
    with announced(progress.note, counting(config, len(stream.part("train")))):
        counts, crossfitted, baseline_counts = built_once(
            lambda: all_counts(config, stream, before, shared=not world.alone), world
        )
        crossfitted = replace(crossfitted, ids=stream.part("train")) if crossfitted else None
    return Run(
        config=config,
        directory=directory,
        runtime=runtime,
        stream=stream,
        model=model,
        multi_token=multi_token,
        optimizers=build_optimizers(model, training, multi_token, runtime.dtype),
        counts=counts,
        crossfitted=crossfitted,
        baseline_counts=baseline_counts,
        budget=Budget(training),
        meter=Meter(training.sequences * config.model.block_size),
        record=Record(training, training.sequences * config.model.block_size),
        objective=objective,
        finetuning=finetuning,
        teacher=teacher_for(teacher, stream, runtime.device, world, note, writes=training.teacher_writes) if teacher else None,
        asked=set(state.asked) if state else asked,
        world=world,
    )


def built(
    config: Config, stream: TokenStream, runtime: Runtime, finetuning: FineTuning | None, world: World
) -> tuple[Transformer, MultiTokenHead | None, nn.Module]:
    """The run's transformer as it begins: with random weights, or those that it is fine-tuned from. And with it the second head
    that it is trained with, and both with their loss, as the processes of the `world` call them.
    """
    sharing = in_shares(config, world)
    model = build(config.model, len(stream.vocabulary), "meta" if sharing else "cpu")
    if not sharing:
        model = fill(model, config, finetuning).to(runtime.device)
    for block in model.blocks:  # what is computed again is compiled with its block; a block in shares is whole before either
        if config.runtime.activation_checkpointing:
            recompute(block, random=config.model.dropout > 0)
        if config.runtime.compile:
            compile_windows(block)
    multi_token = MultiTokenHead(model) if config.training.lookahead and model.blocks else None
    training = config.training
    weight = 1.0 if training.teacher_writes else TEACHER_WEIGHT  # which character was drawn says nothing more
    objective = Objective(model, multi_token, training.logit_shrinkage, weight)
    if not sharing:
        return model, multi_token, in_parallel(objective, world, all_used=not stream.lines)
    sharded(objective, model.blocks, world, runtime.device)
    model.positions.fill()
    with filling():
        fill(model, config, finetuning)
        if multi_token:
            multi_token.fill()
    return model, multi_token, objective


def fill(model: Transformer, config: Config, finetuning: FineTuning | None) -> Transformer:
    """Give the model's weights, and which of them learn."""
    initialize(model, config.training.rng_seed)
    if finetuning:
        load_weights(model, finetuning.start.weights)
        freeze(model, config.training.freeze)
    return model


def all_counts(
    config: Config, stream: TokenStream, before: Counts | None, *, shared: bool
) -> tuple[Counts | None, TrainingPrior | None, Counts]:
    """What `count` gives, and the counts that the model is compared with: of a long text's end, where it has none of its own.

    To be shared, all that follows from them is made.
    """
    counts, crossfitted = count(config, stream, before)
    baseline = counts or count_whole(config, stream, ORDER, IN_MEMORY)
    return counts, to_be_shared(crossfitted) if shared and crossfitted else crossfitted, baseline


def count(config: Config, stream: TokenStream, before: Counts | None) -> tuple[Counts | None, TrainingPrior | None]:
    """The counts that the model learns beside, and how it sees them while it learns; None for no counts.

    They adapt those `before` them, which a base model brings along.
    """
    training, order = config.training, config.model.counts_order
    if not order:
        return None, None
    counted = min(training.counts_chars, len(stream.part("train")))
    if counted < order:
        raise UserError(
            f"counts_order={order} is longer than the {counted} characters that are counted: "
            "lower --counts_order (0 for no counts)."
        )
    earlier = [before] if before else []
    contexts = config.model.has_contexts(len(stream.vocabulary))
    if not training.max_iters or training.teacher_writes:  # counting alone, or nothing that is counted is learned from
        return adapt([*earlier, count_whole(config, stream, order, contexts=contexts)]), None
    folds, max_chars = training.counts_folds, training.counts_chars
    crossfitted = kept.fitted(stream, order, folds=folds, max_chars=max_chars, before=earlier, contexts=contexts)
    return crossfitted.counts, crossfitted


def count_whole(
    config: Config, stream: TokenStream, order: int, max_chars: int = MAX_COUNT, *, contexts: bool = False
) -> Counts:
    """The counts of the training part, as far as the configuration lets them reach."""
    return kept.counted(stream, order, min(config.training.counts_chars, max_chars), contexts=contexts)


def introduction(run: Run) -> str:
    """What is about to happen, in one line."""
    params = parameters(run.config.model, len(run.stream.vocabulary)).total
    parts, line_break = [run.stream.part("train"), run.stream.part("val")], run.stream.line_break
    train, val = (len(part) if line_break is None else int((part[1:] == line_break).sum()) for part in parts)
    what = "characters" if line_break is None else "lines"
    return (
        f"{run.config.preset} {run.config.size}: {params:,} parameters, {train:,} {what} to learn, {val:,} to validate on, "
        f"{len(run.stream.vocabulary)} different; {run.runtime}; {run.directory.path}"
    )
