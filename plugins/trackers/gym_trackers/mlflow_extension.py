"""`--extension mlflow`: runs in MLflow. The variables `MLFLOW_*` configure it, `MLFLOW_TRACKING_URI` says where."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping

from gym_core import RunInfo, hookimpl
from gym_trackers.tracking import COLUMNS, FINISHED, Row, Tracking, check_tracker

TABLE = "rollouts.json"
RUN_ID = "gym.run_id"
"""The tag by which a resumed run is found again."""
LONGEST = 6_000
"""Characters of a parameter."""
AT_ONCE = 100
"""Parameters of one request."""
_STATES = {"finished": "FINISHED", "interrupted": "KILLED"}
_NO_NAME = re.compile(r"[^\w\-. /]", re.ASCII)


class MlflowRun:
    """A run there, through the client alone: whatever else this process does with MLflow goes on beside it."""

    def __init__(self, run: RunInfo, settings: Mapping[str, str]) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param

        self._metric, self._client = Metric, MlflowClient()
        experiment = self._experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME") or "gym")
        self.reached = 0
        earlier = self._client.search_runs([experiment], f"tags.`{RUN_ID}` = '{run.run_id}'", max_results=1)
        if earlier:
            self._id: str = earlier[0].info.run_id
            self.reached = int(earlier[0].data.metrics.get(_name(FINISHED), 0))
            self._client.update_run(self._id, status="RUNNING")
            return
        made = self._client.create_run(experiment, run_name=run.run_id, tags={RUN_ID: run.run_id})
        self._id = made.info.run_id
        params = [Param(_name(name), value[:LONGEST]) for name, value in settings.items()]
        for start in range(0, len(params), AT_ONCE):
            self._client.log_batch(self._id, params=params[start : start + AT_ONCE])

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        made: str = found.experiment_id if found is not None else self._client.create_experiment(name)
        return made

    def point(self, step: int, values: Mapping[str, float]) -> None:
        """Curves at a step."""
        now = int(time.time() * 1000)
        self._client.log_batch(
            self._id, metrics=[self._metric(_name(name), value, now, step) for name, value in values.items()]
        )

    def end(self, state: str, step: int, values: Mapping[str, float], rows: list[Row]) -> None:
        """The summary, and the table in the form that its pages show as one."""
        self.point(step, {f"summary.{name}": value for name, value in values.items()})
        if rows:
            self._client.log_dict(self._id, {"columns": [*COLUMNS], "data": rows}, TABLE)
            shown = json.dumps([{"path": TABLE, "type": "table"}])
            self._client.set_tag(self._id, "mlflow.loggedArtifacts", shown)
        self._client.set_terminated(self._id, _STATES.get(state, "FAILED"))


def _name(name: str) -> str:
    """A name that is allowed there."""
    return _NO_NAME.sub("_", name)[:250]


_tracking = Tracking(MlflowRun)
gym_run_started = _tracking.gym_run_started
gym_rollout_finished = _tracking.gym_rollout_finished
gym_run_finished = _tracking.gym_run_finished


@hookimpl(contract=1)
def gym_extension_check() -> None:
    """Refuse a run that could not be tracked, without the library. Raises `UsageError`."""
    check_tracker("mlflow")
