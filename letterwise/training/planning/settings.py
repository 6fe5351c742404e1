"""Settings: what was asked for, completed by what this text, these minutes and this machine allow.

flags ──▶ Config ──open_text──▶ its text ──planned──▶ size for the minutes ──fitted──▶ defaults for the text
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from letterwise.checkpoint.training_state import TrainingState
from letterwise.config import Config
from letterwise.config.accounting import flops_per_char
from letterwise.config.adapt import adapted_to_text, validation_share
from letterwise.config.file_names import is_address
from letterwise.config.presets import knob_values, resolve
from letterwise.data.batches import require_window
from letterwise.data.cache import reopen
from letterwise.data.prepare import prepare
from letterwise.data.token_stream import TokenStream
from letterwise.data.vocabulary import Vocabulary
from letterwise.errors import UserError
from letterwise.progress import Progress
from letterwise.runtime.device import Runtime, find_runtime
from letterwise.runtime.process import process_state_kept
from letterwise.training.distill.teacher import taught
from letterwise.training.finetune.base import Base, recipe, with_base
from letterwise.training.planning.plan import Plan, context_for, make_plan, measured_flops, passes, times_text
from letterwise.training.planning.recipe import (
    MIN_MEMBERS,
    agree,
    may_have_members,
    members,
    minutes,
    overview,
    role,
    tuning_fraction,
)

MEASURED_FLOPS, A_DAY_S, MAX_DAYS = 1e16, 86_400, 2  # operations: an hour of a fast processor


def plan(flags: dict[str, Any], *, progress: Progress | None = None) -> tuple[Config, Plan]:
    """What `train` would do with these flags, without doing it: the configuration, and the plan that led to it.

    Raises `UserError` when minutes are missing, or something asked for cannot be done.
    """
    progress = progress or Progress()
    flags = with_members(flags, progress)
    if flags.get("members"):
        agree(flags, resolve(flags))
    teacher, flags = taught(flags)
    base, flags, values = with_base(flags)
    config = absolute(resolve(values))
    if not (total := config.training.minutes):
        raise UserError("a plan needs to know how long to train: give --minutes.")
    asked = set(flags)
    if config.training.members:
        own = role(1, config).values
        config, asked = config.with_values({**own, "minutes": minutes(config, total)[0]}), asked | own.keys()
    if base:
        config, stream = open_text(config, None, progress, asked, base.file.vocabulary)
        return fitted(config, asked, stream, progress), finetuning_plan(config, flags, base, stream)
    config, stream = open_text(config, None, progress, asked, teacher.file.vocabulary if teacher else None)
    if not config.model.n_layer:
        return fitted(config, asked, stream, progress), Plan({}, ["counting alone, which takes as long as it takes."])
    config, made = planned_beforehand(config, asked, stream)
    if config.training.members:
        made = replace(made, lines=[overview(config, total), *made.lines])
    return fitted(config, asked, stream, progress), made


def with_members(flags: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """What was asked, and `members`, where nothing was said of them and an ensemble is worth the minutes, or has to teach.

    Raises `UserError` where there is to be a student, and nothing to teach it.
    """
    if flags.get("distill") and not flags.get("members", MIN_MEMBERS):
        raise UserError("--distill and --members 0: a student needs an ensemble to learn from: leave out one of the two.")
    needed = {"members": MIN_MEMBERS} if flags.get("distill") and "members" not in flags else {}
    asked, flags = flags, {**flags, **needed}
    config = absolute(resolve(flags))
    if not may_have_members(asked, config):
        return flags
    config, stream = open_text(config, None, progress, set(asked))
    _, made = planned_beforehand(config, set(asked), stream)
    found, tuning = members(made.epochs), stream.keeping_back(tuning_fraction(stream.bounds[0])).tuning_part
    if not found or len(tuning) < 2:
        return flags
    slow = "" if needed else ", and writes more slowly (--distill: then one model learns from it; --members 0: just one model)"
    progress.note(
        f"one model would read the text {times_text(made.epochs)} in {config.training.minutes:g} minutes; an ensemble of "
        f"{found} learns more of it{slow}."
    )
    return {**flags, "members": found}


def finetuning_plan(config: Config, flags: dict[str, Any], base: Base, stream: TokenStream) -> Plan:
    """The plan of a run that starts from a model: the shape is that model's, and the recipe the one for fine-tuning."""
    added, values = len(stream.vocabulary) - len(base.file.vocabulary), recipe(flags)
    settings = ", ".join(f"{name}={value:g}" for name, value in values.items())
    lines = [
        f"start from {base.path}: {config.preset} {config.size}, {len(base.file.vocabulary)} characters, and {added} new ones",
        f"learn {len(stream.part('train')):,} characters for {config.training.minutes:g} minutes: {settings}",
    ]
    return Plan(values, lines)


def planned_beforehand(config: Config, asked: set[str], stream: TokenStream) -> tuple[Config, Plan]:
    """The same as `planned` in a run, outside of one: PyTorch's threads are as before."""
    runtime = find_runtime(config.runtime)
    with process_state_kept():
        torch.set_num_threads(runtime.threads)
        return planned(config, asked, stream, runtime)


def planned(config: Config, asked: set[str], stream: TokenStream, runtime: Runtime) -> tuple[Config, Plan]:
    """The configuration, completed by a plan for its minutes."""
    text, size = stream.part("train"), len(stream.vocabulary)
    context = None if stream.line_break is None else context_for(text, stream.line_break)
    made = make_plan(config, asked, chars=len(text), vocab_size=size, context=context, runtime=runtime)
    return config.with_values(made.values), made


def fitted(config: Config, asked: set[str], stream: TokenStream, progress: Progress) -> Config:
    """The configuration, its defaults adapted to the text."""
    changes = adapted_to_text(knob_values(config), asked, train_chars=len(stream.part("train")), lines=stream.lines)
    note_adapted(progress, "this text", changes)
    return config.with_values(changes)


def days_note(config: Config, vocab_size: int, runtime: Runtime) -> str:
    """A note where the run takes days here; "" where it does not. Small runs are not measured for it."""
    training, chars = config.training, config.training.sequences * config.model.block_size
    flops = passes(config) * flops_per_char(config.model, vocab_size) * chars * training.max_iters
    if training.minutes or runtime.device.type != "cpu" or flops < MEASURED_FLOPS:
        return ""
    speed = measured_flops(config, vocab_size, runtime)
    days = flops / speed / A_DAY_S
    if days < MAX_DAYS:
        return ""
    return (
        f"{training.max_iters:,} steps of {chars:,} characters take about {days:,.0f} days here, at "
        f"{speed / 1e9:,.0f} GFLOP/s measured: --minutes 60 trains what an hour is enough for."
    )


def note_adapted(progress: Progress, to_what: str, changes: dict[str, Any]) -> None:
    """Notes which defaults were changed."""
    if changes:
        settings = ", ".join(f"{name}={value}" for name, value in changes.items())
        progress.note(f"defaults adapted to {to_what}: {settings}.")


def open_text(
    config: Config, state: TrainingState | None, progress: Progress, asked: set[str], base: Vocabulary | None = None
) -> tuple[Config, TokenStream]:
    """The run's text, and the configuration, which keeps no validation part of a text too short to have one.

    Its vocabulary holds that of a `base` model. A resumed run must find the text it began with (what came from stdin or a pipe
    is kept by the cache). Of a member of an ensemble, the beginning of the training part is kept back.
    """
    config, stream = _open_text(config, state, progress, asked, base)
    if config.training.members and config.training.tuning_fraction is None:
        config = config.with_values({"tuning_fraction": tuning_fraction(stream.bounds[0])})
    stream = stream.keeping_back(config.training.tuning_fraction or 0.0)
    if config.training.members and len(stream.tuning_part) < 2:
        raise UserError(
            f"{len(stream.tuning_part)} characters at the beginning of the training part are too few to fit the weights of "
            f"{config.training.members} members on: raise --tuning_fraction, or give more text."
        )
    return config, stream


def _open_text(
    config: Config, state: TrainingState | None, progress: Progress, asked: set[str], base: Vocabulary | None
) -> tuple[Config, TokenStream]:
    """The same, with nothing kept back."""
    if state and config.data.read_once and (cached := reopen(state.fingerprint)):
        return config, cached
    stream = prepare(config.data, base=base, note=progress.note)
    if state and stream.fingerprint != state.fingerprint:
        raise UserError(
            f"the text changed since the run began (fingerprint {state.fingerprint[:12]}, now {stream.fingerprint[:12]}): "
            "bring the old text back, or start anew with --overwrite."
        )
    if state or stream.lines:
        return config, stream
    needed = 1 + (config.model.block_size if "block_size" in asked else 1)
    chars = {"train_chars": len(stream.part("train")), "chars": len(stream.part("all"))}
    share = validation_share(asked, **chars, needed=needed)
    if share is None or config.data.read_once:
        require_window(stream.part("train"), needed - 1)
        return config, stream
    note_adapted(progress, "this text", {"val_fraction": share})
    config = config.with_values({"val_fraction": share})
    return config, prepare(config.data, base=base, note=Progress().note)  # all that there is to note was noted


def absolute(config: Config) -> Config:
    """The configuration with its files named from the root, so that the run can be resumed from anywhere."""

    def anchored(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name if name == "-" or is_address(name) else str(Path(name).absolute()) for name in names)

    data, training = config.data, config.training
    data = replace(data, input_file=anchored(data.input_file), val_file=anchored(data.val_file))
    for name in ("init_from", "teacher"):
        if path := getattr(training, name):
            training = replace(training, **{name: anchored((path,))[0]})
    return replace(config, data=data, training=training)
