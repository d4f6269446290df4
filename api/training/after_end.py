"""What follows the end of an attempt: exports, samples, and the removal of files."""

import logging
from typing import Protocol

from api.db.leadership import LeadershipLost
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import TaskSummary
from api.errors import DatabaseUnavailable, ServiceError
from api.training.output.exports import Exports
from api.training.records.task_store import TaskStore
from api.training.retention.rehearsal_files import RehearsalFiles
from api.training.retention.service import Retention

logger = logging.getLogger(__name__)


class EndedSamples(Protocol):
    """Collects what a task that renders samples has made."""

    def end(self, task_id: str) -> None:
        """Record the samples of an ended task."""
        ...


class AfterEnd:
    """Does what follows the end of an attempt. Repeated calls change nothing."""

    def __init__(
        self,
        tasks: TaskStore,
        exports: Exports,
        samples: EndedSamples,
        rehearsals: RehearsalFiles,
        retention: Retention,
    ) -> None:
        self._tasks = tasks
        self._exports = exports
        self._samples = samples
        self._rehearsals = rehearsals
        self._retention = retention

    def prepare(self, task: TaskSummary, *, is_final: bool) -> None:
        """Do what must not be lost, before the end is recorded: a crash in between only repeats it.

        `is_final`: the attempt is not retried.
        """
        if is_final:
            self._keep_requested_lora(task.task_id)
        if task.kind is TaskType.SAMPLE:
            self._samples.end(task.task_id)

    def follow(self, task: TaskSummary) -> None:
        """Remove files of a task whose end was recorded."""
        if task.kind in (TaskType.REHEARSAL, TaskType.EXPORT):
            self._rehearsals.remove_soon()
        if task.kind is TaskType.TRAINING:
            self._delete_surplus(task.task_id)

    def _delete_surplus(self, task_id: str) -> None:
        """Delete what the rule of the training does not keep. The end was recorded, so that errors change nothing."""
        try:
            self._retention.apply(task_id)
        except (OSError, DatabaseUnavailable, LeadershipLost, ServiceError) as error:
            logger.warning("cannot delete what no rule keeps", extra={"task_id": task_id, "problem": str(error)})

    def _keep_requested_lora(self, task_id: str) -> None:
        """Export the last checkpoint if the stop requests it."""
        stop = self._tasks.get_summary(task_id).stop
        if stop is not None and stop.keep_lora:
            self._exports.keep(task_id, stop.actor)
