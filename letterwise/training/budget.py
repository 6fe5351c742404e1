"""Budget: how much of the run is done, in steps or in minutes.

step, seconds ──▶ done (0 … 1) ──▶ learning rate, validation times, the end
"""

from dataclasses import dataclass

from letterwise.config import TrainingConfig

TIMED_VALIDATIONS = 8  # a run measured in minutes validates this often at most, the last time at its end
CLOSING_S = 1.0  # of a run's minutes: what the process needs before its clock begins, and to end after the last validation
VALIDATING_SHARE = 0.05  # of a run's time, at most: where validating takes long, it is done less often
POINTS = 36  # of its curve: between its validations, such a run validates on a subset
SUBSET_SHARE = 0.03  # of a run's time, at most, for all of these


@dataclass
class Budget:
    """A run's length. In minutes, time for the last validation is set aside as soon as one has been timed."""

    config: TrainingConfig
    validation_s: float = 0.0

    @property
    def timed(self) -> bool:
        """Whether minutes, not steps, end the run."""
        return self.config.minutes > 0

    def done(self, step: int, seconds: float) -> float:
        """The share of the run behind us; the warm-up does not count when steps do (as in nanoGPT's schedule)."""
        if self.timed:
            return min(1.0, seconds / max(1e-9, self.config.minutes * 60 - CLOSING_S - self.validation_s))
        warmup = self.config.warmup_iters
        return min(1.0, max(0.0, (step - warmup) / (self.config.max_iters - warmup)))

    def spent(self, step: int, seconds: float) -> bool:
        """Whether the run is at its end. A run takes one step at least, unless there is nothing to train."""
        if self.config.max_iters == 0:
            return True
        return step > 0 and self.done(step, seconds) >= 1 if self.timed else step >= self.config.max_iters

    def validation_due(self, step: int, seconds: float, validated_s: float) -> bool:
        """Whether to validate after `step` steps, when that was last done at `validated_s` of the run's seconds."""
        if self.spent(step, seconds):
            return True
        if self.timed:
            near = seconds > self.config.minutes * 60 * (1 - 0.5 / TIMED_VALIDATIONS)
            if near or self.done(step, seconds + self.validation_s) >= 1:
                return False  # the last one is near, or nothing could be learned between this one and the last
            each_s = max(self.config.minutes * 60 / TIMED_VALIDATIONS, self.validation_s / VALIDATING_SHARE)
            return seconds - validated_s >= each_s
        return step % self.config.eval_interval == 0

    @property
    def subset_s(self) -> float:
        """Seconds that validating on a subset may take each time."""
        return SUBSET_SHARE * self.config.minutes * 60 / POINTS

    def subset_due(self, step: int, seconds: float, validated_s: float, took_s: float) -> bool:
        """Whether to validate on a subset after `step` steps, when the last validation of either kind was at `validated_s`.

        The last one on a subset took `took_s`.
        """
        if not self.timed or step == 0 or self.done(step, seconds) > 1 - 0.5 / POINTS:
            return False
        return seconds - validated_s >= max(self.config.minutes * 60 / POINTS, took_s / SUBSET_SHARE)

    def left_s(self, step: int, seconds: float, step_s: float) -> float:
        """Seconds until the end: steps at `step_s` each and validations, or what is left of the minutes."""
        if self.timed:
            return max(0.0, self.config.minutes * 60 - seconds)
        steps, each = self.config.max_iters, self.config.eval_interval
        if step >= steps:
            return 0.0
        validations = -(-steps // each) - step // each
        return (steps - step) * step_s + validations * self.validation_s
