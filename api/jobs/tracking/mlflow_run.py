"""MLflow. Its library reads MLFLOW_TRACKING_URI, MLFLOW_TRACKING_TOKEN and the like itself."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

#: The tag by which a run is found again.
_TAG = "diffusion_pipe.task_id"

_STATUSES = {"completed": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}

#: Limits of MLflow: metrics and parameters in one request, and the length of a parameter's value.
_MOST_METRICS, _MOST_PARAMS, _MOST_TEXT = 1000, 100, 500

#: What names must not have, and their length.
_UNFIT, _MOST_NAME = re.compile(r"[^\w.\- :/]"), 250


def _key(name: str) -> str:
    return _UNFIT.sub("_", name)[:_MOST_NAME]


class MlflowRun:
    """A run. Every call waits until the server has stored it."""

    rows: int | None = None

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client = client
        self._run_id = run_id

    def log(self, rows: Sequence[tuple[int, float, Mapping[str, float]]]) -> None:
        """Write every value with its step."""
        found = [
            Metric(_key(name), value, int(at * 1000), step)
            for step, at, values in rows
            for name, value in values.items()
        ]
        for start in range(0, len(found), _MOST_METRICS):
            self._client.log_batch(self._run_id, metrics=found[start : start + _MOST_METRICS])

    def add_picture(self, name: str, path: str, caption: str, is_clip: bool) -> None:
        """Store the file as an artifact."""
        self._client.log_artifact(self._run_id, path, name)

    def end(self, status: str) -> None:
        """Set the status."""
        self._client.set_terminated(self._run_id, _STATUSES.get(status, "FAILED"))


class MlflowBackend:
    """Runs of one experiment."""

    def __init__(self, project: str, directory: Path) -> None:
        # Without a server, everything is in this directory.
        is_local = not mlflow.is_tracking_uri_set()
        if is_local:
            mlflow.set_tracking_uri(f"sqlite:///{directory / 'mlflow.db'}")
        self._client = MlflowClient()
        found = self._client.get_experiment_by_name(project)
        place = f"file://{directory / 'mlartifacts'}" if is_local else None
        self._experiment = self._client.create_experiment(project, place) if found is None else found.experiment_id

    def open(self, task_id: str, name: str, config: Mapping[str, Any], tags: Sequence[str]) -> MlflowRun:
        """Find the run by its tag, or create it."""
        found = self._client.search_runs([self._experiment], f"tags.`{_TAG}` = '{task_id}'", max_results=1)
        if found:
            run_id = found[0].info.run_id
            self._client.update_run(run_id, status="RUNNING")
            return MlflowRun(self._client, run_id)
        named = {_TAG: task_id, "tags": ", ".join(tags)}
        run_id = self._client.create_run(self._experiment, tags=named, run_name=name).info.run_id
        params = [Param(_key(key), str(value)[:_MOST_TEXT]) for key, value in config.items()]
        for start in range(0, len(params), _MOST_PARAMS):
            self._client.log_batch(run_id, params=params[start : start + _MOST_PARAMS])
        return MlflowRun(self._client, run_id)
