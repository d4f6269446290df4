"""Stops that cannot be recorded in the database, because a stop must work without a disk or a database."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from api.domain.audit import note_change
from api.domain.reason import Reason, ReasonOrText
from api.domain.training import StopState, TaskStatus, TrainingTask
from api.errors import DatabaseUnavailable, StorageFull
from api.files.disk import DiskReserve
from api.training.attempts.watch import AttemptWatch

logger = logging.getLogger(__name__)


STOP_REQUESTED = Reason.of("stop with a checkpoint requested", "asked_to_stop")
STOP_NOW_REQUESTED = Reason.of("stop without a checkpoint requested", "asked_to_stop_at_once")


@dataclass(frozen=True, slots=True)
class PendingStop:
    """A stop that is in progress but not recorded in the database."""

    stop: StopState
    message: ReasonOrText
    problem: str


class StopCarrier(Protocol):
    """Carries out stops."""

    def find_watch(self, task_id: str) -> AttemptWatch | None: ...
    def stop_now(self, watch: AttemptWatch, stop: StopState) -> None: ...


class PendingStops:
    """Stores pending stops in memory until the database can record them.

    The order to the supervisor survives a restart of this service; a pending stop does not.
    """

    def __init__(self, reserve: DiskReserve) -> None:
        self._reserve = reserve
        self._pending: dict[str, PendingStop] = {}

    def record(
        self, write: Callable[[], object], task_id: str, pending: PendingStop, stopping: StopCarrier
    ) -> AttemptWatch | None:
        """Record a stop by `write`, using the disk reserve if the disk is full, and return None.

        If that fails, pass the order on, store the pending stop and return the attempt's watch. Raise the errors of
        `write`. Its DatabaseUnavailable is raised if no watch exists here, or if a stop with checkpoint fails only
        because the database is unavailable, since that request can be repeated.
        """
        try:
            try:
                write()
            except StorageFull:
                self._reserve.give_up()
                write()
        except DatabaseUnavailable as error:
            watch = stopping.find_watch(task_id)
            if watch is None or not (pending.stop.force or isinstance(error, StorageFull)):
                raise
            self._pass_on(watch, pending.stop, stopping)
            self._pending[task_id] = replace(pending, problem=error.detail)
            note_change(
                about=task_id, after={"force": pending.stop.force, "timeout_seconds": pending.stop.timeout_seconds}
            )
            logger.warning("a stop is in progress but cannot be recorded yet", extra={"task_id": task_id})
            return watch
        return None

    def _pass_on(self, watch: AttemptWatch, stop: StopState, stopping: StopCarrier) -> None:
        try:
            stopping.stop_now(watch, stop)
        except OSError as first:
            self._reserve.give_up()
            try:
                stopping.stop_now(watch, stop)
            except OSError:
                raise StorageFull(f"The stop order cannot be written ({first.strerror}).") from first

    def note(self, write: Callable[[str, PendingStop], object]) -> None:
        """Pass each pending stop to `write` and forget it. Raise DatabaseUnavailable if that fails."""
        for task_id, pending in list(self._pending.items()):
            write(task_id, pending)
            self._pending.pop(task_id, None)

    def show(self, task: TrainingTask) -> TrainingTask:
        """Return the task with its pending stop, if it has one."""
        pending = self._pending.get(task.task_id)
        if pending is None or task.status.is_finished:
            return task
        warning = Reason.of(
            "the stop is in progress and will be recorded when the database is available: {why}",
            "stop_not_noted",
            why=pending.problem,
        )
        return replace(
            task, status=TaskStatus.STOPPING, stop=pending.stop, warning=warning.text, warning_code=warning.said
        )
