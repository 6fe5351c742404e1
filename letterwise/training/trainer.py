"""Trainer: the run, as prose.

    batches.at(step) ─▶ model ─▶ loss ─▶ optimizers      and every so often: validate, keep the best, save, write a sample

A batch, and the dropout on it, is a function of (seed, step). So one integer places a run, resuming repeats nothing,
and validating disturbs nothing.
"""

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from letterwise.checkpoint import ModelFile, TrainingState, load_state
from letterwise.checkpoint.training_state import damaged
from letterwise.checkpoint.weights import as_arrays, as_tensors, load_weights, weights_of
from letterwise.compiling.jit import clock
from letterwise.config import Config
from letterwise.data.batches import NONE, Batches, LineBatches
from letterwise.data.cache import TokenStream
from letterwise.errors import UserError
from letterwise.evaluation import Score, baseline_bits, evaluate
from letterwise.inference.constraints.limits import Limits
from letterwise.inference.generate import write
from letterwise.inference.sampling.sampler import Sampler
from letterwise.inference.torch_backend import Plain
from letterwise.loss import cross_entropy
from letterwise.model import Transformer
from letterwise.ngrams import Counts, CrossFitted
from letterwise.progress import Progress
from letterwise.runtime.device import Runtime
from letterwise.training.budget import Budget
from letterwise.training.interruption import Interrupted, Interruption, between_layers
from letterwise.training.meter import Meter
from letterwise.training.optimizers.multi_token import Lookahead
from letterwise.training.optimizers.optimizer import Optimizers
from letterwise.training.optimizers.schedule import learning_rate_factor
from letterwise.training.planning.threads import ThreadChoice
from letterwise.training.run_directory import RunDirectory
from letterwise.training.saver import Keeper

SAMPLE_CHARS = 120  # written by the model itself, a millisecond each
PROBE_CHARS = 2**13  # scored once to know how long a validation takes
VALIDATION_SHARE = 0.03  # of a run's minutes, each time
LONG_VALIDATION_S = 60
GLANCE_INTERVAL, GLANCE_S = 10, 1.0  # steps, or seconds, between looks at the loss: each look makes a GPU wait
ROLLBACKS, BACKED_OFF = 2, 0.5  # how often a run that blew up goes back, each time with this share of the learning rate


class BlownUp(Exception):
    """The loss, or a weight, is no longer a number."""


@dataclass
class Run:
    """One run: its parts, and (below the blank line) what changes as it goes on, which is what a restart needs.

    Where the model learns beside counts, `counts` are those, and `crossfitted` how it sees them while it learns.
    """

    config: Config
    directory: RunDirectory
    runtime: Runtime
    stream: TokenStream
    model: Transformer
    lookahead: Lookahead | None
    optimizers: Optimizers
    counts: Counts | None
    crossfitted: CrossFitted | None
    baseline_counts: Counts
    progress: Progress
    budget: Budget
    keeper: Keeper
    meter: Meter

    step: int = 0
    seconds: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)
    best_weights: dict[str, np.ndarray] = field(default_factory=dict)
    every: int = 0
    rollbacks: int = 0
    glanced_s: float = 0.0
    compared: tuple[int, dict[str, float]] = (0, {})

    @property
    def chars_seen(self) -> int:
        """How many characters have been learned from, repeats included."""
        return self.step * self.config.training.sequences * self.config.model.block_size

    @property
    def validated_s(self) -> float:
        """When the last validation was, in seconds of the run."""
        return self.rows[-1]["seconds"] if self.rows else 0.0

    @property
    def best(self) -> dict[str, Any] | None:
        """The row whose weights the model file holds."""
        return next((row for row in reversed(self.rows) if row["best"]), None)

    @property
    def baselines(self) -> dict[str, float]:
        """What the model is compared with, over the very characters that validations score; empty before the first."""
        held_out = self.stream.part("val")
        if self.every and self.compared[0] != self.every and len(held_out) >= 2:
            windows = {"block_size": self.config.model.block_size, "every": self.every, "line_break": self.stream.line_break}
            self.compared = (self.every, baseline_bits(self.baseline_counts, self.stream.part("train"), held_out, **windows))
        return self.compared[1]

    def state(self) -> TrainingState:
        """All that a restart needs. Raises `BlownUp` rather than give what is no number."""
        nats, weights = self.meter.mean_nats(), weights_of(self.model)
        if not math.isfinite(nats or 0.0) or not all(np.isfinite(weight).all() for weight in weights.values()):
            raise BlownUp(f"the loss became {nats} by step {self.step}")
        return TrainingState(
            step=self.step,
            seconds=self.seconds,
            config=self.config,
            fingerprint=self.stream.fingerprint,
            model_path=self.directory.relative_model_path,
            runtime=str(self.runtime),
            every=self.every,
            validation_s=self.budget.validation_s,
            nats=self.meter.total.item(),
            nats_steps=self.meter.steps,
            rollbacks=self.rollbacks,
            rows=self.rows,
            weights=weights,
            best=self.best_weights,
            lookahead=as_arrays(self.lookahead.state_dict()) if self.lookahead else {},
            optimizers=as_arrays(self.optimizers.tensors()),
        )

    def restore(self, state: TrainingState) -> None:
        """Stand where `state` stood. Raises `UserError` when it is not a state of such a run."""
        try:
            load_weights(self.model, state.weights)
            if self.lookahead:
                self.lookahead.load_state_dict(as_tensors(state.lookahead))
            self.optimizers.load_tensors(as_tensors(state.optimizers))
        except (UserError, RuntimeError) as error:
            raise damaged(str(error).splitlines()[0]) from error
        self.best_weights = {name: weight.copy() for name, weight in state.best.items()}  # the file may be replaced
        self.step, self.seconds, self.rows = state.step, state.seconds, list(state.rows)
        self.rollbacks, self.budget.validation_s = state.rollbacks, state.validation_s
        self.every = state.every if state.config.training.eval_chars == self.config.training.eval_chars else 0
        self.meter.restart(state.nats, state.nats_steps)

    def to_the_end(self, started: float) -> None:
        """Train until the budget is spent or patience is out. `started` is the instant at which the run's clock stood at zero.

        Raises `Interrupted`, after saving, when a signal asks to stop; `UserError` when the loss is no longer a number, also
        after going back to what was saved, or when in the end the model cannot be written.
        """
        training, text = self.config.training, self.stream.part("train")
        shape = (self.config.model.block_size, training.sequences, training.rng_seed)
        line_break = self.stream.line_break
        batches = Batches(text, *shape) if line_break is None else LineBatches(text, line_break, *shape)
        free = self.budget.timed and self.runtime.device.type == "cpu" and not self.config.runtime.threads
        choice = ThreadChoice(self.runtime.threads, self.progress.note) if free else None
        self.progress.start(None if self.budget.timed else training.max_iters)
        try:
            layers = [] if self.config.runtime.compile else list(self.model.blocks)  # a compiled one is not to be looked into
            with Interruption(self.progress.note) as interruption, between_layers(layers, interruption.check):
                self.keeper.save(self)  # before anything can happen
                self.seconds = clock() - started
                while self.validation_due() or not self.finished():
                    try:
                        if self.validation_due():
                            self.validate(interruption.check)
                        else:
                            began = clock()
                            self.take_step(batches)
                            if choice:
                                choice.took(clock() - began)
                        self.seconds = clock() - started
                        if self.keeper.due(self.step):
                            self.keeper.keep(self)
                        interruption.check()
                    except BlownUp as error:
                        self.roll_back(str(error))
                    except Interrupted:
                        if self.keeper.step != self.step or self.keeper.trouble:
                            with contextlib.suppress(BlownUp):
                                self.keeper.keep(self)
                        raise
                self.keeper.finish(self)
        except Interrupted as interrupted:
            message = f"stopped after step {self.step}; the state after step {self.keeper.step} is saved"
            raise Interrupted(interrupted.signal_number, message) from interrupted
        finally:
            self.progress.stop()
            if choice:
                choice.stop()

    def finished(self) -> bool:
        """Whether there is nothing left to do: the budget is spent, or the last `patience` validations brought no new best."""
        patience = self.config.training.patience
        out = bool(patience) and len(self.rows) > patience and not any(row["best"] for row in self.rows[-patience:])
        return out or self.budget.spent(self.step, self.seconds)

    def validation_due(self) -> bool:
        """Whether to validate now. A fresh run beside counts first says what counts say: no worse is kept."""
        if self.rows and self.rows[-1]["step"] == self.step:
            return False
        if self.step == 0:
            return bool(self.counts) or self.budget.spent(0, 0.0)
        return self.budget.validation_due(self.step, self.seconds, self.validated_s)

    def take_step(self, batches: Batches | LineBatches) -> None:
        """Learn from one batch. Raises `BlownUp` when a look at the loss finds no number."""
        done = self.budget.done(self.step, self.seconds)
        self.optimizers.set_learning_rate(self.learning_rate_factor(self.step))
        self.meter.add(self.accumulate(batches, done))
        self.optimizers.step()
        self.step += 1
        if self.step % GLANCE_INTERVAL == 0 or self.seconds - self.glanced_s >= GLANCE_S:
            self.glanced_s = self.seconds
            nats, left_s = self.mean_nats() or 0.0, self.budget.left_s(self.step, self.seconds, self.meter.step_s())
            self.progress.step(self.step, done, nats, self.meter.chars_per_second(), left_s)

    def learning_rate_factor(self, step: int) -> float:
        """What share of its peak the learning rate has after `step` steps, by the clock of now."""
        training, done = self.config.training, self.budget.done(step, self.seconds)
        floor = training.min_lr / training.learning_rate if training.learning_rate else 0.0
        factor = learning_rate_factor(training.schedule, step, done, warmup_iters=training.warmup_iters, floor=floor)
        return factor * BACKED_OFF**self.rollbacks

    def mean_nats(self) -> float | None:
        """The mean loss since the last validation. Raises `BlownUp` when it is no number."""
        nats = self.meter.mean_nats()
        if nats is not None and not math.isfinite(nats):
            raise BlownUp(f"the loss became {nats} by step {self.step}")
        return nats

    def roll_back(self, why: str) -> None:
        """Go back to the last state that was kept, to learn more slowly from there.

        Raises `UserError` when that has been done too often.
        """
        training = self.config.training
        why = f"{why} with learning_rate={training.learning_rate * BACKED_OFF**self.rollbacks:g}"
        if self.rollbacks == ROLLBACKS:
            saved = f"; the best model before that is in {self.directory.model_path}" if self.best else ""
            raise UserError(
                f"{why}, after going back {ROLLBACKS} times{saved}: lower --learning_rate, or raise --warmup_iters."
            )
        rollbacks = self.rollbacks + 1
        self.restore(load_state(self.directory.state, self.progress.note))
        self.rollbacks = rollbacks
        self.progress.note(f"{why}: back to step {self.step}, with {BACKED_OFF:g} of that rate.")
        self.keeper.forget()
        self.keeper.keep(self)

    def accumulate(self, batches: Batches | LineBatches, done: float) -> Tensor:
        """Gradients of the mean loss over the step's sequences, taken a batch at a time; gives that loss, in nats.

        What looking ahead adds to the loss moves the weights, but is not in the figure. It ends as the run does.
        """
        starts, *arrays = batches.at(self.step)
        inputs, targets = (torch.from_numpy(array).to(self.runtime.device) for array in arrays)
        pieces = self.config.training.gradient_accumulation_steps
        torch.manual_seed((self.config.training.rng_seed * 1_000_003 + self.step) % 2**63)  # dropout's randomness
        total = torch.zeros((), device=self.runtime.device)
        chars = (targets != NONE).sum()
        split = (np.array_split(starts, pieces), inputs.tensor_split(pieces), targets.tensor_split(pieces))
        for begins, x, y in zip(*split, strict=True):
            if not len(x):  # a few long lines may be fewer than the pieces
                continue
            share, log_prior = (y != NONE).sum() / chars, self.prior_at(begins, x.shape[1])
            with self.runtime.autocast():
                h = self.model.states(x, log_prior=log_prior)
                loss = nats = cross_entropy(self.model.scores(h, log_prior), y)
                if self.lookahead:
                    loss = nats + self.config.training.lookahead * (1 - done) * self.lookahead(h, y)
            (loss * share).backward()
            total += nats.detach() * share
        return total

    def prior_at(self, starts: np.ndarray, length: int) -> Tensor | None:
        """What cross-fitted counts say in windows of the training text, where the model learns beside counts."""
        if not self.crossfitted or not self.model.prior:
            return None
        return torch.from_numpy(self.crossfitted.at(starts, length, self.model.prior.orders)).to(self.runtime.device)

    def validate(self, between: Callable[[], None]) -> None:
        """Measure on the validation part, keep the model if it is the best so far, write a sample.

        `between` is called now and then, and may raise to give up: then nothing has changed.
        """
        began = clock()
        train_nats, held_out, nats = self.mean_nats(), self.stream.part("val"), None
        score: Score | None = None
        if len(held_out) >= 2:
            self.every = self.every or self.window_stride(held_out)
            score = self.score(held_out, every=self.every, between=between)
            nats = score.nats_per_char
            if not math.isfinite(nats):
                raise BlownUp(f"the validation loss became {nats} by step {self.step}")
        best, rate = self.best, self.learning_rate_factor(self.step - 1) if self.step else 0.0
        row = {
            "step": self.step,
            "chars": self.chars_seen,
            "seconds": round(self.seconds, 3),
            "learning_rate": rate * self.config.training.learning_rate,
            "train_nats_per_char": train_nats,
            "val_nats_per_char": nats,
            "val_chars": score.chars if score else 0,
            "val_nats_low": score.interval_nats[0] if score and score.interval_nats else None,
            "val_nats_high": score.interval_nats[1] if score and score.interval_nats else None,
            "chars_per_second": round(self.meter.chars_per_second()),
            "best": best is None or nats is None or nats < best["val_nats_per_char"],
        }
        self.progress.held_out(row)
        row["sample"] = self.sample()
        self.rows.append(row)
        self.best_weights = weights_of(self.model) if row["best"] else self.best_weights
        self.meter.restart()
        self.budget.validation_s = clock() - began
        self.keeper.keep(self)
        self.budget.validation_s = clock() - began  # keeping it included
        self.meter.restart()  # its clock, without that

    def window_stride(self, held_out: np.ndarray) -> int:
        """Validate on every n-th window: all of them, unless `eval_chars` or a run's minutes ask for fewer."""
        training, chars = self.config.training, len(held_out)
        if training.eval_chars:
            return math.ceil(chars / training.eval_chars)
        began = clock()
        self.score(held_out[:PROBE_CHARS])
        seconds = (clock() - began) * max(1.0, chars / PROBE_CHARS)
        if training.minutes and seconds > VALIDATION_SHARE * training.minutes * 60:
            stride = math.ceil(seconds / (VALIDATION_SHARE * training.minutes * 60))
            self.progress.note(f"Validating on every {nth(stride)} window to save time; change with --eval_chars.")
            return stride
        if seconds > LONG_VALIDATION_S:
            self.progress.note(
                f"a validation of {chars:,} characters takes about {seconds:.0f} s: --eval_chars makes it shorter."
            )
        return 1

    def score(self, held_out: np.ndarray, **options: Any) -> Score:
        """By `evaluate` and its options."""
        return evaluate(self.model, held_out, counts=self.counts, line_break=self.stream.line_break, **options)

    def sample(self) -> str:
        """What the model writes now, from nothing."""
        self.model.eval()
        sampler, limits = Sampler(temperature=0.8), Limits(num_tokens=SAMPLE_CHARS)
        model = Plain(self.model, self.counts, self.stream.line_break)
        (text,) = write(model, self.stream.vocabulary, "", sampler=sampler, limits=limits).texts()
        self.model.train()
        return text

    def model_file(self, history: list[dict[str, Any]]) -> ModelFile:
        """The best model so far, with its history."""
        record = {
            "fingerprint": self.stream.fingerprint,
            "sources": list(self.stream.sources),
            "bounds": list(self.stream.bounds),
            "baselines": self.baselines,
            "every": self.every,
        }
        return ModelFile(self.config, self.stream.vocabulary, self.best_weights, record, history, self.counts)


def nth(n: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st"""
    ending = "th" if 10 <= n % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"
