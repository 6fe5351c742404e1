"""TensorBoard: event files in the run directory, for `tensorboard --logdir out`."""

import json
import textwrap

from torch.utils.tensorboard import SummaryWriter

from letterwise.training.metrics import tracking
from letterwise.training.metrics.rows import Row

EVENTS = "events.out.tfevents.*"


class Tracker(tracking.Tracker):
    """Scalars by step; configuration and samples as texts."""

    def __init__(self, run: tracking.TrackedRun) -> None:
        folder = run.directory / "tensorboard"
        if not run.known:
            for old in folder.glob(EVENTS):
                old.unlink()
        self.writer = SummaryWriter(str(folder))
        if not run.known:
            self.writer.add_text("config", preformatted(json.dumps(run.config, indent=1)), 0)

    def write(self, rows: list[Row]) -> None:
        for row in rows:
            for name, value in tracking.figures(row).items():
                self.writer.add_scalar(name, value, row["step"], new_style=True)
            if sample := tracking.sample_of(row):
                self.writer.add_text("sample", preformatted(sample), row["step"])
        self.writer.flush()

    def close(self, *, finished: bool) -> None:
        self.writer.close()


def preformatted(text: str) -> str:
    """As Markdown that shows it as it is."""
    return textwrap.indent(text, "    ", lambda line: True)
