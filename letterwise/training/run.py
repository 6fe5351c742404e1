"""Run: what one training run is: its parts, and what changes as it goes on. Data, and questions about it.

prepare ──▶ Run ──▶ trainer changes it · saver writes it · result sums it up
             │ ▲
TrainingState, all that a restart needs
"""

import math
from collections.abc import Callable, Set
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from letterwise.checkpoint import ModelFile
from letterwise.checkpoint.text_model import TextModel
from letterwise.checkpoint.training_state import TrainingState, damaged_state
from letterwise.checkpoint.weights import as_arrays, load, weights_in
from letterwise.config import Config
from letterwise.data.token_stream import TokenStream
from letterwise.distributed.sharded import in_forward, own_part
from letterwise.distributed.world import ALONE, World
from letterwise.errors import UserError
from letterwise.evaluation.baseline import baseline_bits
from letterwise.evaluation.evaluate import evaluate
from letterwise.model import Transformer
from letterwise.ngrams import Counts
from letterwise.ngrams.passage_fit import TrainingPrior
from letterwise.runtime.device import Runtime
from letterwise.training.budget import Budget
from letterwise.training.distill.teacher import Teacher
from letterwise.training.finetune.finetuning import FineTuning
from letterwise.training.metrics.meter import Meter
from letterwise.training.metrics.record import Record
from letterwise.training.metrics.rows import SUBSET, Row, in_order
from letterwise.training.optimizers.multi_token import MultiTokenHead
from letterwise.training.optimizers.optimizer import Optimizers
from letterwise.training.optimizers.schedule import learning_rate_factor
from letterwise.training.run_directory import RunDirectory

T = TypeVar("T")
UNTOUCHED = "base model"  # among baselines: what a run was started from, as it was
ROLLBACK_FACTOR = 0.5  # of the learning rate, each time that a run which diverged goes back


class TrainingDiverged(Exception):
    """The loss, or a weight, is NaN or infinite."""


def in_shares(config: Config, world: World) -> bool:
    """Whether each of several processes has only a share of the weights."""
    return config.runtime.parallel == "fsdp" and not world.alone


@dataclass
class Run:
    """One run: its parts, and (below the blank line) what changes as it goes on, which is what a restart needs.

    `objective` is the model with its loss, as each process of the `world` calls it.
    Where the model learns beside counts, `counts` are those, and `crossfitted` how it sees them while it learns. Its first step
    here is taken after `began_s` of its `seconds`: loading, planning and counting come before. Validations score every
    `every`-th window, those on a subset every `subset_every`-th; the last of these took `subset_took_s`. Scoring all windows
    takes about `scoring_s`; 0 where that is not known yet.
    """

    config: Config
    directory: RunDirectory
    runtime: Runtime
    stream: TokenStream
    model: Transformer
    multi_token: MultiTokenHead | None
    optimizers: Optimizers
    counts: Counts | None
    crossfitted: TrainingPrior | None
    baseline_counts: Counts
    budget: Budget
    meter: Meter
    record: Record
    objective: nn.Module
    finetuning: FineTuning | None = None
    teacher: Teacher | None = None
    asked: Set[str] = frozenset()
    world: World = ALONE

    step: int = 0
    seconds: float = 0.0
    began_s: float = 0.0
    rows: list[Row] = field(default_factory=list)
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    every: int = 0
    subset_every: int = 0
    subset_took_s: float = 0.0
    scoring_s: float = 0.0
    rollbacks: int = 0
    compared: tuple[int, dict[str, float]] = (0, {})

    @property
    def text_model(self) -> TextModel:
        """The model as it is now, to score texts with."""
        line_break, in_shares = self.stream.line_break, self.in_shares
        return TextModel(self.model.config, self.stream.vocabulary, lambda: self.model, self.counts, line_break, in_shares)

    @property
    def chars_seen(self) -> int:
        """How many characters have been learned from, repeats included."""
        return self.step * self.config.training.sequences * self.config.model.block_size

    @property
    def validated_s(self) -> float:
        """When the last validation was, in seconds of the run; before the first, when the first step was."""
        return self.rows[-1]["seconds"] if self.rows else self.began_s

    @property
    def metrics(self) -> list[Row]:
        """The rows of metrics.jsonl: validations, and what was written down between them."""
        return in_order([*self.rows, *self.record.rows])

    @property
    def best(self) -> dict[str, Any] | None:
        """The row whose weights the model file holds."""
        return next((row for row in reversed(self.rows) if row["best"]), None)

    @property
    def baselines(self) -> dict[str, float]:
        """What the model is compared with, over the very characters that validations score; empty before the first."""
        self.compare(lambda: None)
        return self.compared[1]

    def compare(self, between: Callable[[], None]) -> None:
        """Find out the baselines, if they are not known. `between` is called now and then, and may raise to give up.

        Only the first process needs them.
        """
        held_out = self.stream.part("val")
        if self.world.first and self.every and self.compared[0] != self.every and len(held_out) >= 2:
            windows = {"block_size": self.config.model.block_size, "every": self.every, "line_break": self.stream.line_break}
            found = baseline_bits(self.baseline_counts, self.stream.part("train"), held_out, **windows, between=between)
            if self.finetuning:
                found[UNTOUCHED] = evaluate(
                    self.finetuning.untouched, held_out, every=self.every, between=between
                ).bits_per_char
            self.compared = (self.every, found)

    def finished(self) -> bool:
        """Whether there is nothing left to do: the budget is spent, or the last `patience` validations brought no new best."""
        patience = self.config.training.patience
        out = bool(patience) and len(self.rows) > patience and not any(row["best"] for row in self.rows[-patience:])
        return out or self.budget.spent(self.step, self.seconds)

    def validation_due(self) -> bool:
        """Whether to validate now. A fresh run that knows something, by counts or a base model, is validated first."""
        if self.rows and self.rows[-1]["step"] == self.step:
            return False
        if self.step == 0:
            return bool(self.counts or self.finetuning) or self.budget.spent(0, 0.0)
        return self.budget.validation_due(self.step, self.seconds, self.validated_s)

    def subset_due(self) -> bool:
        """Whether to validate on a subset now: in a run of minutes, between its validations."""
        if not self.budget.timed or len(self.stream.part("val")) < 2:
            return False
        last_s = next((row["seconds"] for row in reversed(self.record.rows) if row["kind"] == SUBSET), 0.0)
        return self.budget.subset_due(self.step, self.seconds, max(self.validated_s, last_s), self.subset_took_s)

    def learning_rate_factor(self, step: int) -> float:
        """What share of its peak the learning rate has after `step` steps, by the clock of now."""
        training, done = self.config.training, self.budget.done(step, self.seconds)
        floor = training.min_lr / training.learning_rate if training.learning_rate else 0.0
        factor = learning_rate_factor(training.schedule, step, done, warmup_iters=training.warmup_iters, floor=floor)
        return factor * ROLLBACK_FACTOR**self.rollbacks

    def mean_nats(self) -> float | None:
        """The mean loss since the last validation. Raises `TrainingDiverged` when it is NaN or infinite."""
        nats = self.meter.mean_nats()
        if nats is not None and not math.isfinite(nats):
            raise TrainingDiverged(f"the loss became {nats} by step {self.step}")
        return nats

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """The arrays of the run's state, by part and name, where they are: each process's shares, where there are shares."""
        return {
            "weights": weights_in(self.model),
            "best": self.best_weights,
            "lookahead": self.multi_token.state_dict() if self.multi_token else {},
            "optimizers": self.optimizers.tensors(),
        }

    def state(self) -> TrainingState:
        """All that a restart needs, but for the arrays where each process has a share of them.

        Raises `TrainingDiverged` rather than give what is NaN or infinite.
        """
        nats, tensors = self.meter.mean_nats(), self.tensors()
        self.record.read()
        odd = sum(not own_part(weight).isfinite().all() for weight in tensors["weights"].values())
        if not math.isfinite(nats or 0.0) or (self.world.total(torch.tensor(odd)) if self.in_shares else odd):
            raise TrainingDiverged(f"the loss became {nats} by step {self.step}")
        arrays: dict[str, Any] = {part: {} if self.in_shares else as_arrays(held) for part, held in tensors.items()}
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
            record=self.record.rows,
            record_nats=self.record.nats.item(),
            record_steps=self.record.steps,
            subset_every=self.subset_every,
            base=self.finetuning.base.digest if self.finetuning else "",
            teacher=self.teacher.base.digest if self.teacher else "",
            asked=sorted(self.asked),
            **arrays,
        )

    def restore(self, state: TrainingState) -> None:
        """Stand where `state` stood. Raises `UserError` when it is not a state of such a run."""
        try:
            load(weights_in(self.model), state.weights)
            if self.multi_token:
                load(self.multi_token.state_dict(), state.lookahead)
            self.optimizers.load_arrays(state.optimizers)
        except (UserError, RuntimeError) as error:
            raise damaged_state(str(error).splitlines()[0]) from error
        self.best_weights = {}
        if state.best:
            self.keep_best()  # for their places
            load(self.best_weights, state.best)
        self.step, self.seconds, self.rows = state.step, state.seconds, list(state.rows)
        self.rollbacks, self.budget.validation_s = state.rollbacks, state.validation_s
        same = state.config.training.eval_chars == self.config.training.eval_chars
        self.every, self.subset_every = (state.every, state.subset_every) if same else (0, 0)
        self.meter.restart(state.nats, state.nats_steps)
        self.record.restore(state.record, state.record_nats, state.record_steps)

    def keep_best(self) -> None:
        """The weights of now are the best so far."""
        held = weights_in(self.model)
        self.best_weights = {name: w.clone() if self.in_shares else w.to("cpu", copy=True) for name, w in held.items()}

    def best_whole(self) -> dict[str, np.ndarray]:
        """The best weights on the first process; the others give it their shares, and get none."""
        found: dict[str, np.ndarray] = {}
        for name, weight in self.best_weights.items():
            one = as_arrays({name: weight})
            found |= one if self.world.first else {}
        return found

    @property
    def in_shares(self) -> bool:
        """Whether each of several processes has only a share of the weights."""
        return in_shares(self.config, self.world)

    def calling_model(self, do: Callable[[], T]) -> T:
        """`do()`, which evaluates `model` or writes with it: where weights are in shares, on all processes together."""
        return in_forward(self.objective, do) if self.in_shares else do()

    def model_file(self, weights: dict[str, np.ndarray], history: list[dict[str, Any]]) -> ModelFile:
        """The model of these weights, the best so far, with its history."""
        record = {
            "fingerprint": self.stream.fingerprint,
            "sources": list(self.stream.sources),
            "bounds": list(self.stream.bounds),
            "baselines": self.baselines,
            "every": self.every,
        }
        if self.finetuning:
            record["lineage"] = self.finetuning.base.lineage
        if self.teacher:
            record["teacher"] = self.teacher.base.lineage[-1]
        return ModelFile(self.config, self.stream.vocabulary, weights, record, history, self.counts)
