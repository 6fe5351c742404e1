"""Result: what the runs of an ensemble came to.

runs, Pool ──▶ EnsembleResult ──▶ page, JSON
"""

from dataclasses import dataclass
from pathlib import Path

from letterwise.training.report.result import TrainResult
from letterwise.training.run_directory import RunDirectory
from letterwise.training.several.pool import Pool
from letterwise.units import bits


@dataclass(frozen=True)
class EnsembleResult(TrainResult):
    """What an ensemble has reached. All that `TrainResult` says is of the model in `model_path`: the ensemble, or its student.

    Steps, characters and seconds are those of all runs. The members have a weight each, in their order, which was fitted on
    `tuning_chars` characters of the training part that none learned from: `tuning_nats` is the mean surprise there.
    `ensemble_nats` is that of the ensemble in `ensemble_path` on the validation part.
    """

    members: list[TrainResult]
    weights: list[float]
    tuning_chars: int
    tuning_nats: float
    tuning_nats_of_members: list[float]
    ensemble_path: str
    ensemble_nats: float | None
    student: TrainResult | None


def ensemble_result(
    directory: RunDirectory, ensemble: Path, runs: list[TrainResult], pool: Pool, student: TrainResult | None
) -> EnsembleResult:
    """What all runs came to."""
    row, last, all_runs = pool.row, student or runs[0], [*runs, *([student] if student else [])]
    low, high = row["val_nats_low"], row["val_nats_high"]
    interval = (bits(low), bits(high)) if low is not None and row["val_chars"] < last.val_chars else None
    nats = student.best_val_nats_per_char if student else row["val_nats_per_char"]
    return EnsembleResult(
        model_path=str(directory.model_path),
        run_dir=str(directory.path),
        iters=sum(run.iters for run in all_runs),
        chars_seen=sum(run.chars_seen for run in all_runs),
        train_seconds=round(sum(run.train_seconds for run in all_runs), 3),
        best_val_nats_per_char=nats,
        best_val_bits_per_char=None if nats is None else bits(nats),
        val_nats_per_char=student.val_nats_per_char if student else nats,
        val_chars=last.val_chars,
        val_chars_scored=student.val_chars_scored if student else row["val_chars"],
        best_val_bits_interval=student.best_val_bits_interval if student else interval,
        baselines=last.baselines,
        old_bits_per_char=None,
        params=student.params if student else pool.file.params,
        vocab_size=last.vocab_size,
        lines=last.lines,
        opening=last.opening,
        sample=student.sample if student else row["sample"],
        advice=last.advice,
        members=runs,
        weights=[each.weight for each in pool.file.members],
        tuning_chars=pool.chars,
        tuning_nats=pool.nats,
        tuning_nats_of_members=pool.each,
        ensemble_path=str(ensemble),
        ensemble_nats=row["val_nats_per_char"],
        student=student,
    )
