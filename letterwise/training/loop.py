"""Loop: the run, as prose.

    batches.at(step) ─▶ model ─▶ loss ─▶ optimizers      and every so often: validate, keep the best, save, write a sample

A batch, and the dropout on it, is a function of (seed, step). So one integer places a run, resuming repeats nothing,
and validating disturbs nothing.
"""

import math
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from letterwise.checkpoint import ModelFile, TrainingState, save_model, save_state
from letterwise.checkpoint.model_file import load_weights, weights_of
from letterwise.config import Config
from letterwise.counts import Counts, CrossFitted
from letterwise.data.batches import Batches
from letterwise.data.stream import TokenStream
from letterwise.errors import UserError
from letterwise.evaluation import evaluate
from letterwise.inference.sampling import Sampler
from letterwise.inference.stream import write
from letterwise.loss import cross_entropy
from letterwise.model import Transformer
from letterwise.runtime import Runtime
from letterwise.training.budget import Budget
from letterwise.training.interruption import Interrupted, Interruption
from letterwise.training.lookahead import Lookahead
from letterwise.training.optimizer import Optimizers
from letterwise.training.outcome import write_page
from letterwise.training.progress import Progress
from letterwise.training.run_directory import RunDirectory
from letterwise.training.schedule import learning_rate_factor

SAMPLE_CHARS = 300
PROBE_CHARS = 2**13  # scored once to know how long a validation takes
VALIDATION_SHARE = 0.03  # of a run's minutes, each time
LONG_VALIDATION_S = 60
GLANCE_INTERVAL = 10  # steps between looks at the loss: each look makes a GPU wait


class Meter:
    """Mean loss and speed since the last validation. The sum of losses stays on its device until it is asked for."""

    def __init__(self, chars_per_step: int) -> None:
        self.chars_per_step = chars_per_step
        self.restart()

    def restart(self) -> None:
        """Forget what was measured."""
        self.total, self.steps = torch.zeros(()), 0
        self.began = time.monotonic()

    def add(self, nats: Tensor) -> None:
        """The loss of one more step."""
        self.total, self.steps = self.total.to(nats.device) + nats, self.steps + 1

    def mean_nats(self) -> float:
        """Nats per character."""
        return self.total.item() / self.steps

    def chars_per_second(self) -> float:
        """Characters learned from, by the wall clock."""
        return self.steps * self.chars_per_step / max(1e-9, time.monotonic() - self.began)


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
    baselines: dict[str, float]
    progress: Progress

    step: int = 0
    seconds: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)
    every: int = 0

    @property
    def sequences(self) -> int:
        """How many sequences one optimizer step learns from."""
        return self.config.training.batch_size * self.config.training.gradient_accumulation_steps

    @property
    def chars_seen(self) -> int:
        """How many characters have been learned from, repeats included."""
        return self.step * self.sequences * self.config.model.block_size

    @property
    def validated_s(self) -> float:
        """When the last validation was, in seconds of the run."""
        return self.rows[-1]["seconds"] if self.rows else 0.0

    @property
    def best(self) -> dict[str, Any] | None:
        """The row whose weights the model file holds."""
        return next((row for row in reversed(self.rows) if row["best"]), None)

    def restore(self, state: TrainingState) -> None:
        """Stand where `state` stood."""
        load_weights(self.model, state.weights)
        if self.lookahead:
            self.lookahead.load_state_dict(state.lookahead)
        self.optimizers.load_state_dict(state.optimizers)
        self.step, self.seconds, self.rows = state.step, state.seconds, state.rows

    def to_the_end(self, started: float) -> None:
        """Train until the budget is spent or patience is out. `started` is the instant that the run's clock began.

        Raises `Interrupted`, after saving, when a signal asks to stop; `UserError` when the loss is no longer a number.
        """
        training, budget = self.config.training, Budget(self.config.training)
        batches = Batches(self.stream.part("train"), self.config.model.block_size, self.sequences, training.rng_seed)
        before, meter = self.seconds, Meter(self.sequences * self.config.model.block_size)
        self.progress.start(None if budget.timed else training.max_iters)
        try:
            with Interruption() as interruption:
                if not self.rows and (self.counts or budget.spent(0, 0.0)):  # fresh, it says what counts say: no worse is kept
                    self.seconds = time.monotonic() - started
                    budget.validation_s = self.validate(meter, 0.0)
                while not (budget.spent(self.step, self.seconds) or self.out_of_patience()):
                    done = budget.done(self.step, self.seconds)
                    factor = self.learning_rate_factor(done)
                    self.optimizers.set_learning_rate(factor)
                    meter.add(self.accumulate(batches, done))
                    self.optimizers.step()
                    self.step += 1
                    self.seconds = before + time.monotonic() - started
                    if self.step % GLANCE_INTERVAL == 0:
                        self.glance(meter, done)
                    if budget.validation_due(self.step, self.seconds, self.validated_s):
                        budget.validation_s = self.validate(meter, factor * training.learning_rate)
                        self.seconds = before + time.monotonic() - started
                    if interruption.asked:
                        self.save()
                        raise Interrupted(interruption.asked, f"stopped after step {self.step}, and saved")
        finally:
            self.progress.stop()

    def learning_rate_factor(self, done: float) -> float:
        """What share of its peak the learning rate has now."""
        training = self.config.training
        floor = training.min_lr / training.learning_rate if training.learning_rate else 0.0
        return learning_rate_factor(training.schedule, self.step, done, warmup_iters=training.warmup_iters, floor=floor)

    def accumulate(self, batches: Batches, done: float) -> Tensor:
        """Gradients of the mean loss over the step's sequences, taken a batch at a time; gives that loss, in nats.

        What looking ahead adds to the loss moves the weights, but is not in the figure. It ends as the run does.
        """
        starts, *arrays = batches.at(self.step)
        if self.crossfitted and self.model.prior:
            arrays.append(self.crossfitted.at(starts, self.config.model.block_size, self.model.prior.orders))
        inputs, targets, *told = (torch.from_numpy(array).to(self.runtime.device) for array in arrays)
        pieces = self.config.training.gradient_accumulation_steps
        torch.manual_seed(self.config.training.rng_seed * 1_000_003 + self.step)  # dropout's randomness
        total = torch.zeros((), device=self.runtime.device)
        priors = told[0].chunk(pieces) if told else [None] * pieces
        for x, y, log_prior in zip(inputs.chunk(pieces), targets.chunk(pieces), priors, strict=True):
            with self.runtime.autocast():
                h = self.model.states(x, log_prior=log_prior)
                loss = nats = cross_entropy(self.model.scores(h, log_prior), y)
                if self.lookahead:
                    loss = nats + self.config.training.lookahead * (1 - done) * self.lookahead(h, y)
            (loss / pieces).backward()
            total += nats.detach() / pieces
        return total

    def validate(self, meter: Meter, learning_rate: float) -> float:
        """Measure on the validation part, keep the model if it is the best so far, write a sample: the seconds it took."""
        began = time.monotonic()
        train_nats = meter.mean_nats() if meter.steps else None
        if train_nats is not None:
            self.refuse_non_finite(train_nats)
        held_out, nats = self.stream.part("val"), None
        if len(held_out) >= 2:
            self.every = self.every or self.window_stride(held_out)
            nats = evaluate(self.model, held_out, counts=self.counts, every=self.every).nats_per_char
            self.refuse_non_finite(nats)
        best = self.best
        row = {
            "step": self.step,
            "chars": self.chars_seen,
            "seconds": round(self.seconds, 3),
            "learning_rate": learning_rate,
            "train_nats_per_char": train_nats,
            "val_nats_per_char": nats,
            "chars_per_second": round(meter.chars_per_second()),
            "best": best is None or nats is None or nats < best["val_nats_per_char"],
        }
        self.progress.held_out(row)
        row["sample"] = self.sample()
        self.rows.append(row)
        if row["best"]:
            save_model(self.directory.model_path, self.model_file())
        self.save()
        write_page(self)
        meter.restart()
        return time.monotonic() - began

    def window_stride(self, held_out: np.ndarray) -> int:
        """Validate on each so-manieth window: all of them, unless `eval_chars` or a run's minutes ask for fewer."""
        training, chars = self.config.training, len(held_out)
        if training.eval_chars:
            return math.ceil(chars / training.eval_chars)
        began = time.monotonic()
        evaluate(self.model, held_out[:PROBE_CHARS], counts=self.counts)
        seconds = (time.monotonic() - began) * max(1.0, chars / PROBE_CHARS)
        if training.minutes and seconds > VALIDATION_SHARE * training.minutes * 60:
            stride = math.ceil(seconds / (VALIDATION_SHARE * training.minutes * 60))
            self.progress.note(
                f"validating on each {stride}th window, since all would take {seconds:.0f} s: --eval_chars decides."
            )
            return stride
        if seconds > LONG_VALIDATION_S:
            self.progress.note(
                f"a validation of {chars:,} characters takes about {seconds:.0f} s: --eval_chars makes it shorter."
            )
        return 1

    def sample(self) -> str:
        """What the model writes now, from nothing."""
        self.model.eval()
        sampler = Sampler(temperature=0.8)
        vocabulary, counts = self.stream.vocabulary, self.counts
        text = "".join(write(self.model, vocabulary, "", num_tokens=SAMPLE_CHARS, sampler=sampler, counts=counts))
        self.model.train()
        return text

    def model_file(self) -> ModelFile:
        """The model as it is now, with its history so far."""
        record = {
            "fingerprint": self.stream.fingerprint,
            "sources": list(self.stream.sources),
            "bounds": list(self.stream.bounds),
            "baselines": self.baselines,
        }
        return ModelFile(self.config, self.stream.vocabulary, weights_of(self.model), record, self.rows, self.counts)

    def save(self) -> None:
        """Write down all that a restart needs."""
        self.directory.write_metrics(self.rows)
        state = TrainingState(
            step=self.step,
            seconds=self.seconds,
            config=self.config.to_json(),
            fingerprint=self.stream.fingerprint,
            model_path=self.directory.relative_model_path,
            weights=weights_of(self.model),
            lookahead=dict(self.lookahead.state_dict()) if self.lookahead else {},
            optimizers=self.optimizers.state_dict(),
            rows=self.rows,
        )
        save_state(self.directory.state, state)

    def out_of_patience(self) -> bool:
        """Whether the last `patience` validations brought no new best."""
        patience = self.config.training.patience
        return bool(patience) and len(self.rows) > patience and not any(row["best"] for row in self.rows[-patience:])

    def glance(self, meter: Meter, done: float) -> None:
        """Show where the run is."""
        left_s = self.seconds / done * (1 - done) if done else 0.0
        self.progress.step(self.step, done, meter.mean_nats(), meter.chars_per_second(), left_s)

    def refuse_non_finite(self, nats: float) -> None:
        """Raises `UserError` before anything of a run that has blown up is saved."""
        if not math.isfinite(nats):
            training = self.config.training
            saved = f"; the best model before that is in {self.directory.model_path}" if self.best else ""
            raise UserError(
                f"the loss became {nats} by step {self.step} with learning_rate={training.learning_rate}{saved}: "
                "lower --learning_rate, or raise --warmup_iters."
            )
