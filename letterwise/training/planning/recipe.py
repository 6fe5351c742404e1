"""Recipe: what the members of an ensemble are, and which share of the time each has. The one place that says so.

number of a member, configuration of the first one ──▶ Role(knobs that differ from the first's, a share of the time)

All lean on the same counts, and models that do agree too much: one that has seen none is worth more beside one that has than
another of its kind (docs/log.md). So every second member has no counts. It has more to learn: it has more time, and a plan
of its own.
"""

from collections.abc import Set
from dataclasses import dataclass, field
from typing import Any

from letterwise.config import Config
from letterwise.errors import UserError
from letterwise.training.planning.memory import ADAPTABLE
from letterwise.training.planning.plan import WIDTH_KNOBS

TUNING_SHARE, MIN_TUNING, MAX_TUNING, MAX_TUNING_SHARE = 0.02, 2_000, 2**17, 0.2  # of the training part, and in characters
MIXING_SHARE = 0.04  # of the minutes: fitting the mixture, and validating it
SHARE_WITHOUT_COUNTS = 3.0  # of the time, of a member without counts, where the first has 1
RATES = frozenset(("learning_rate", "matrix_learning_rate", "min_lr"))  # slower for many readings
PLANNED = RATES.union(WIDTH_KNOBS, ("size", "n_layer", "dropout", "logit_shrinkage"), ADAPTABLE)
MIN_MINUTES, MIN_MEMBERS = 5.0, 2  # of an ensemble that was not asked for: minutes and members
WORTHWHILE = (24.0, 4), (12.0, 3), (3.0, MIN_MEMBERS)  # where one model would read the text so often, so many members
STUDENT_SHARE = 3.0  # of a student that learns what all members predict, where the first has 1
STUDENT_READS = 3  # times that it reads what they write for it
STUDENT_SPEED = 0.5  # of the first member's, in characters a second: what they write and predict takes the rest


@dataclass(frozen=True)
class Role:
    """`values` are knobs that differ from the first member's; those in `planned` are chosen for its own minutes, where nobody
    asked for them. Of the time, it has a `share`.
    """

    what: str
    values: dict[str, Any] = field(default_factory=dict)
    share: float = 1.0
    planned: Set[str] = frozenset()


def role(number: int, first: Config) -> Role:
    """Of a member, counted from 1. Of `first`, the first member's configuration, all that is not named here is kept."""
    if first.model.counts_order and number % 2 == 0:
        return Role("without counts", {"counts_order": 0}, SHARE_WITHOUT_COUNTS, PLANNED)
    return Role("with counts" if first.model.counts_order else "without counts")


def may_have_members(asked: dict[str, Any], config: Config) -> bool:
    """Whether it is left to the plan how many models a run trains, and there may be more than one."""
    model, training = config.model, config.training
    alone = "members" in asked or training.init_from or training.teacher or config.data.read_once
    return not alone and training.minutes >= MIN_MINUTES and model.counts_order > 0 and model.n_layer > 0


def members(epochs: float) -> int:
    """Of a run whose one model would read its text so often. 0: it is better as a single model."""
    return next((found for readings, found in WORTHWHILE if epochs >= readings), 0)


def student(first: Config) -> Role:
    """Of the model that learns what the ensemble predicts."""
    return Role("a student of them all", {"dropout": 0.0}, STUDENT_SHARE, RATES)


def written_chars(first: Config, chars_per_second: float) -> int:
    """How much the ensemble writes for its student, if there is time. Where minutes count, by the first member's speed."""
    if first.training.written_chars:
        return first.training.written_chars
    if first.training.minutes:
        read = 60 * minutes(first, total_minutes(first))[-1] * STUDENT_SPEED * chars_per_second
    else:
        read = first.training.max_iters * first.training.sequences * first.model.block_size
    return max(first.model.block_size + 1, int(read / STUDENT_READS))


def tuning_fraction(train_chars: int) -> float:
    """The share of so long a training part that is kept to fit the mixture on, where nothing was asked: enough, and no more."""
    chars = max(1, train_chars)
    return min(max(TUNING_SHARE, min(MAX_TUNING_SHARE, MIN_TUNING / chars)), MAX_TUNING / chars)


def roles(config: Config) -> list[Role]:
    """Of all members, and of the student if there is to be one."""
    found = [role(number, config) for number in range(1, config.training.members + 1)]
    return [*found, student(config)] if config.training.distill else found


def minutes(config: Config, total: float) -> list[float]:
    """Of `total` minutes, those of each role."""
    shares = [each.share for each in roles(config)]
    return [(1 - MIXING_SHARE) * total * share / sum(shares) for share in shares]


def total_minutes(config: Config) -> float:
    """Of all of an ensemble, by those of its first member."""
    return config.training.minutes / minutes(config, 1.0)[0]


def overview(config: Config, total: float) -> str:
    """What will be done, in a sentence; `total` minutes are 0 where steps are counted."""
    takes = [f", {round(own, 2):g} minutes" if total else "" for own in minutes(config, total)]
    each = [f"{of.what}{time}" for of, time in zip(roles(config), takes, strict=True)]
    members = [f"member {number}, {what}" for number, what in enumerate(each[: config.training.members], 1)]
    students = [f"at last {what}" for what in each[config.training.members :]]
    whole = f"an ensemble in {total:g} minutes" if total else "an ensemble"
    return (
        f"{whole}: {'; '.join([*members, *students])}. The members are mixed by weights fitted on text that none has learned."
    )


def agree(asked: dict[str, Any], config: Config) -> None:
    """Raises `UserError` where what was asked contradicts an ensemble."""
    training = config.training
    members = "--distill" if training.distill else f"--members {training.members}"
    for name in ("init_from", "teacher"):
        if asked.get(name):
            raise UserError(
                f"{members} and --{name}: members begin from nothing, and no model before them may know the text that their "
                "weights are fitted on: give one of the two."
            )
    if not training.max_iters and not training.minutes:
        raise UserError(f"{members} of which nothing is learned would be one model that often: give --max_iters or --minutes.")
    if config.data.read_once:
        raise UserError(
            f"{members} reads the text once for each model, and stdin or a pipe can be read only once: save it to a file first."
        )
