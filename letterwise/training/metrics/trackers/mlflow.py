"""MLflow: a run of the experiment "letterwise" in the store that MLFLOW_TRACKING_URI names, or MLflow's own, ./mlflow.db."""

import logging
import os
import time

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

from letterwise.training.metrics import tracking
from letterwise.training.metrics.rows import Row

TAG = "letterwise.run_id"  # by which a resumed run is found again
MAX_METRICS, MAX_PARAMS, MAX_VALUE = 1000, 100, 6000  # of one request; characters of a parameter


class Tracker(tracking.Tracker):
    """Metrics by step, the configuration as parameters, samples as files."""

    def __init__(self, run: tracking.TrackedRun) -> None:
        for logger in ("mlflow", "alembic"):
            logging.getLogger(logger).setLevel(logging.WARNING)
        self.client = MlflowClient()
        experiment = self._experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", "letterwise"))
        if found := self.client.search_runs([experiment], f"tags.`{TAG}` = '{run.run_id}'"):
            self.run_id = found[0].info.run_id
            self.client.update_run(self.run_id, status="RUNNING")
            return
        self.run_id = self.client.create_run(experiment, run_name=run.name, tags={TAG: run.run_id}).info.run_id
        params = [Param(name, str(value)[:MAX_VALUE]) for name, value in run.config.items()]
        for first in range(0, len(params), MAX_PARAMS):
            self.client.log_batch(self.run_id, params=params[first : first + MAX_PARAMS])

    def _experiment(self, name: str) -> str:
        try:
            return self.client.create_experiment(name)
        except MlflowException:
            if found := self.client.get_experiment_by_name(name):
                return found.experiment_id
            raise

    def write(self, rows: list[Row]) -> None:
        now = time.time_ns() // 1_000_000
        metrics = [Metric(name, value, now, row["step"]) for row in rows for name, value in tracking.figures(row).items()]
        for first in range(0, len(metrics), MAX_METRICS):
            self.client.log_batch(self.run_id, metrics=metrics[first : first + MAX_METRICS])
        for row in rows:
            if sample := tracking.sample_of(row):
                self.client.log_text(self.run_id, sample, f"samples/step-{row['step']}.txt")

    def close(self, *, finished: bool) -> None:
        self.client.set_terminated(self.run_id, "FINISHED" if finished else "KILLED")
