"""Trainer: the training loop, as prose.

    batches.at(step) ─▶ model ─▶ loss ─▶ optimizers      and every so often: validate, save

A batch, and the dropout on it, is a function of (seed, step). So one integer places a run, resuming repeats nothing,
and validating disturbs nothing. Several processes share each batch, and know the same numbers after it (distributed/world.py).
"""

import contextlib
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from letterwise.checkpoint.training_state import load_state
from letterwise.compiling.clock import clock
from letterwise.data.batches import Batches, LineBatches
from letterwise.distributed.data_parallel import gradients_shared
from letterwise.errors import UserError
from letterwise.ngrams.cross_fit import CrossFitted
from letterwise.ngrams.passage_fit import TrainingPrior
from letterwise.progress import Progress
from letterwise.training.interruption import Interrupted, Interruption, between_layers
from letterwise.training.loading import on_device
from letterwise.training.loading.pieces import Loader, LookUp, Source
from letterwise.training.loading.prefetch import Pieces, prefetched
from letterwise.training.planning.threads import ThreadChoice
from letterwise.training.run import ROLLBACK_FACTOR, Run, TrainingDiverged
from letterwise.training.saver import Saver
from letterwise.training.validation import validate, validate_subset

PROGRESS_STEPS, PROGRESS_S = 10, 1.0  # steps, or seconds, between looks at the loss; a GPU, which has to wait then: seconds
MAX_ROLLBACKS = 2  # of a run that diverged
RANKS_APART = 2**40  # between the seeds of processes: more than a run has steps


class Trainer:
    """Trains a run, saves it as it goes on, and reports its progress."""

    def __init__(self, run: Run, saver: Saver, progress: Progress) -> None:
        self.run, self.saver, self.progress = run, saver, progress
        self.loader = loader_of(run)
        self.shown_s = 0.0  # when the loss was last looked at, in seconds of the run
        self.started = 0.0  # the instant at which the run's clock stood at zero

    def train(self, started: float) -> None:
        """Train until the budget is spent or patience is out. The run's clock stood at zero at the instant `started`.

        Raises `Interrupted`, after saving, when a signal asks to stop; `UserError` when the loss is NaN, also after going
        back to what was saved, or when in the end the model cannot be written.
        """
        run, self.started = self.run, started
        free = run.budget.timed and run.runtime.device.type == "cpu" and not run.config.runtime.threads and run.world.alone
        choice = ThreadChoice(run.runtime.threads, self.progress.note) if free else None
        self.progress.start(None if run.budget.timed else run.config.training.max_iters)
        try:
            layers = [] if run.config.runtime.compile else list(run.model.blocks)  # a compiled one is not to be looked into
            listening = Interruption(self.progress.note, alone=run.world.alone)
            loading = prefetched(self.loader.pieces, run.runtime.device)
            with listening as interruption, between_layers(layers, interruption.check), loading as self.pieces:
                self.saver.save(run)  # before anything can happen
                run.began_s = run.seconds = run.world.told(clock() - started)
                run.record.start_clock()
                while run.validation_due() or not run.finished():
                    self.go_on(interruption, choice)
                self.saver.finish(run)
        except Interrupted as interrupted:
            message = f"stopped after step {run.step}; the state after step {self.saver.step} is saved"
            raise Interrupted(interrupted.signal_number, message) from interrupted
        finally:
            self.progress.stop()
            if choice:
                choice.stop()

    def go_on(self, interruption: Interruption, choice: ThreadChoice | None) -> None:
        """A validation, also on a subset, or a step, whichever is due; then a save, if one is.

        Raises `Interrupted`, after saving.
        """
        run = self.run
        try:
            if run.validation_due():
                self.validate(interruption)
            elif run.subset_due():
                self.validate_subset(interruption)
            else:
                began = clock()
                self.take_step(interruption.check)
                if choice:
                    choice.took(clock() - began)
            now, due, asked = clock() - self.started, self.saver.due(run.step), interruption.asked
            run.seconds, due, asked = run.world.agreed(now, due, asked)
            if due:
                self.saver.try_save(run)
                run.record.start_clock()
            interruption.heed(asked)
        except TrainingDiverged as error:
            self.roll_back(str(error))
        except Interrupted:
            if self.saver.step != run.step or self.saver.trouble:
                with contextlib.suppress(TrainingDiverged):  # what diverged is not saved: the state before is kept
                    self.saver.try_save(run)
            raise

    def validate(self, interruption: Interruption) -> None:
        """Validate, and save what came of it. The time that both take is set aside for the last one."""
        run, began = self.run, clock()
        run.record.read()
        validate(run, self.progress, interruption.check)
        run.meter.restart()
        run.budget.validation_s = run.world.told(clock() - began)
        self.saver.try_save(run)
        run.budget.validation_s = run.world.told(clock() - began)  # saving included
        run.meter.restart()  # its clock, without that
        run.record.start_clock()

    def validate_subset(self, interruption: Interruption) -> None:
        """Validate on a subset. The time that takes is no step's."""
        run, began = self.run, clock()
        run.record.read()
        validate_subset(run, self.progress.note, interruption.check)
        self.saver.show_record(run)
        run.meter.skip(clock() - began)
        run.record.start_clock()

    def take_step(self, check: Callable[[], None]) -> None:
        """Learn from one batch. Raises `TrainingDiverged` when a look at the loss finds NaN.

        `check` is called now and then before the weights change, and may raise to give up.
        """
        run = self.run
        done, rate = run.budget.done(run.step, run.seconds), run.learning_rate_factor(run.step)
        run.optimizers.set_learning_rate(rate)
        nats = accumulate(run, self.pieces, done, check)
        norm = run.optimizers.gradient_norm() if run.record.due(run.step + 1, run.seconds) else None
        run.optimizers.step()
        run.step += 1
        run.meter.add(nats)
        run.record.add(nats)
        if norm is not None:
            run.record.end_row(run.step, clock() - self.started, rate * run.config.training.learning_rate, norm)
        if run.record.read_now_and_then():
            self.saver.show_record(run)
        on_cpu = run.runtime.device.type == "cpu"
        if run.seconds - self.shown_s >= PROGRESS_S or (on_cpu and run.step % PROGRESS_STEPS == 0):
            self.shown_s = run.seconds
            nats, left_s = run.mean_nats() or 0.0, run.budget.left_s(run.step, run.seconds, run.meter.step_s())
            self.progress.step(run.step, done, nats, run.meter.chars_per_second(), left_s)

    def roll_back(self, why: str) -> None:
        """Go back to the last saved state, to learn more slowly from there.

        Raises `UserError` when that has been done too often.
        """
        run = self.run
        why = f"{why} with learning_rate={run.config.training.learning_rate * ROLLBACK_FACTOR**run.rollbacks:g}"
        if run.rollbacks == MAX_ROLLBACKS:
            saved = f"; the best model before that is in {run.directory.model_path}" if run.best else ""
            raise UserError(
                f"{why}, after going back {MAX_ROLLBACKS} times{saved}: lower --learning_rate, or raise --warmup_iters."
            )
        rollbacks = run.rollbacks + 1
        run.restore(run.world.first_then_others(lambda: load_state(run.directory.state, self.progress.note)))
        run.rollbacks = rollbacks
        self.progress.note(f"{why}: back to step {run.step}, with {ROLLBACK_FACTOR:g} of that rate.")
        self.saver.forget()
        self.saver.try_save(run)


def loader_of(run: Run) -> Loader:
    """What the run's steps learn from: its text, or what its teacher wrote; and where some of that is to be replayed, the base
    model's own text.
    """
    training, old = run.config.training, run.finetuning.old if run.finetuning else None
    replayed = min(training.sequences - 1, round(training.replay * training.sequences)) if run.finetuning and old else 0
    if training.teacher_writes and run.teacher:
        written = run.teacher.ids
        known = partial(run.counts.log_probs_at, written) if run.counts else None  # they have not counted it
        sources = [source(run, written, training.sequences, look_up(run, known))]
    else:
        sources = [source(run, run.stream.part("train"), training.sequences - replayed, crossfitted(run, run.crossfitted))]
    if run.finetuning and old and replayed:
        fitted = run.finetuning.replayed(run.config, run.counts, run.world)
        sources.append(source(run, old.part("train"), replayed, crossfitted(run, fitted)))
    taught = run.teacher.look_up if run.teacher else None
    return Loader(sources, training.gradient_accumulation_steps, run.world, taught)


def source(run: Run, text: np.ndarray, sequences: int, look_up: LookUp | None) -> Source:
    """A text (N,), so many sequences a step, and where the model learns beside counts, what these say of it."""
    line_break, shape = run.stream.line_break, (run.config.model.block_size, sequences, run.config.training.rng_seed)
    return Source(Batches(text, *shape) if line_break is None else LineBatches(text, line_break, *shape), look_up)


def look_up(run: Run, log_probs_at: Callable[..., np.ndarray] | None) -> LookUp | None:
    """What counts say of a text, in as many orders as the model reads; None for a model without counts."""
    prior = run.model.prior
    if not prior or not log_probs_at:
        return None
    return LookUp(partial(log_probs_at, orders=prior.orders), prior.orders * len(run.stream.vocabulary))


def crossfitted(run: Run, counts: TrainingPrior | None) -> LookUp | None:
    """What cross-fitted counts say of their text; a GPU looks that up by itself."""
    found, prior = look_up(run, counts.log_probs_at if counts else None), run.model.prior
    if found and prior and run.runtime.device.type in on_device.KINDS and isinstance(counts, CrossFitted):
        return LookUp(on_device.DeviceCounts(counts, prior.orders, run.runtime.device).log_probs_at, found.numbers)
    return found


def accumulate(run: Run, pieces: Pieces, done: float, check: Callable[[], None]) -> Tensor:
    """Gradients of the mean loss over the step's sequences, taken a batch at a time; gives that loss, in nats.

    `check` is called between its parts, beside those between layers, and may raise to give up.

    What a teacher and multi-token prediction add to the loss moves the weights, but is not in the figure. The latter ends as
    the run does. Of several processes, each takes its share of the sequences.
    """
    training, world = run.config.training, run.world
    run.runtime.seed((training.rng_seed * 1_000_003 + run.step + world.rank * RANKS_APART) % 2**63)  # dropout's randomness
    total = torch.zeros((), device=run.runtime.device)
    for x, y, log_prior, looked_up, share, last in pieces(run.step, check):
        with gradients_shared(run.objective, last=last):
            with run.runtime.autocast():
                taught = run.teacher.probabilities(x, looked_up) if run.teacher else None
                loss, nats = run.objective(x, y, log_prior, taught, training.lookahead * (1 - done), check)
            check()
            (loss * share * world.size).backward()  # as gradients are averaged over processes
        total += nats * share
    return world.total(total)
