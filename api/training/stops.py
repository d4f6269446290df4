"""Requests to stop tasks of any kind, and to wait until they have stopped."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from api.domain.tasks.progress import LISTENING_STAGES, NO_PROGRESS
from api.domain.tasks.training import StopRung, StopState, TaskStatus, TaskSummary
from api.errors import Conflict, TaskNotStoppable
from api.training.attempts.stop_delivery import STOP_NOW_REQUESTED, STOP_REQUESTED, AttemptStopping, PendingStop
from api.training.attempts.watch.watch import AttemptWatch
from api.training.details import TrainingDetails
from api.training.output.exports import Exports
from api.training.records.attempt_store import TaskStores
from api.training.records.task_store import TaskStore
from api.training.task_answers import ProgressAnswers
from api.training.view_builders import show_stopped
from api.training.views import StoppedTask
from api.util.clock import Clock
from api.util.http.caller import has_caller_left

#: Limit of concurrent waiting requests. Each blocks one of the threads that serve requests.
MAX_WAITERS = 4

#: Interval between two checks, in seconds.
POLL_SECONDS = 0.1


class TaskStops:
    """Stops tasks. `wake` triggers the training loop immediately."""

    def __init__(
        self,
        stores: TaskStores,
        progress: ProgressAnswers,
        stopping: AttemptStopping,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        self._tasks, self._attempts = stores.tasks, stores.attempts
        self._progress = progress
        self._stopping = stopping
        self._clock = clock
        self._wake = wake

    def request_stop(
        self, task_id: str, force: bool, timeout_seconds: float | None, actor: str, keep_lora: bool = False
    ) -> AttemptWatch | None:
        """Request a stop, with `keep_lora` followed by an export. A stopped task stays unchanged.

        Raise TaskNotFound or TaskNotStoppable.
        Return the watch of its attempt if the stop was passed on although the database is unavailable, else None.
        """
        stop = StopState(self._clock.now(), actor, force, timeout_seconds, StopRung.TERMINATE, keep_lora=keep_lora)
        pending = PendingStop(stop, STOP_NOW_REQUESTED if force else STOP_REQUESTED, "")
        watch = self._stopping.record(lambda: self._note(task_id, pending), task_id, pending)
        self._wake()
        return watch

    def _note(self, task_id: str, pending: PendingStop) -> None:
        task, stop = self._tasks.get_summary(task_id), pending.stop
        if task.status is TaskStatus.STOPPED:
            return
        if task.status.is_finished:
            raise TaskNotStoppable(f"{task_id} is {task.status} already.", data={"status": task.status})
        try:
            stop = replace(stop, rung=self._first_rung(task, stop.force))
            self._tasks.request_stop(task_id, stop, stop.requested_at, pending.message)
        except Conflict:
            # It finished in the meantime.
            raise TaskNotStoppable(f"{task_id} has finished.") from None

    def _first_rung(self, task: TaskSummary, force: bool) -> StopRung:
        """Return the first step of a stop, as far as it is known now."""
        attempts = self._attempts.of_task(task.task_id)
        live = self._progress.live(task, attempts) or task.progress or NO_PROGRESS
        listens = live.progress.stage in LISTENING_STAGES
        return StopRung.CHECKPOINT if listens and not force else StopRung.TERMINATE


class StopWaiters:
    """Lets a limited number of callers wait. Further callers return immediately."""

    def __init__(
        self, sleep: Callable[[float], None] = time.sleep, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._slots = threading.BoundedSemaphore(MAX_WAITERS)
        self._sleep = sleep
        self._monotonic = monotonic

    def wait(self, is_over: Callable[[], bool], seconds: float) -> None:
        """Return when `is_over` is true, the client has disconnected, or the time is over."""
        if seconds <= 0 or not self._slots.acquire(blocking=False):
            return
        try:
            end = self._monotonic() + seconds
            has_left = has_caller_left.get()
            while not has_left() and not is_over() and self._monotonic() < end:
                self._sleep(POLL_SECONDS)
        finally:
            self._slots.release()


class TrainingStops:
    """Stops trainings, and shows how far their stops are."""

    def __init__(self, tasks: TaskStore, stops: TaskStops, exports: Exports, details: TrainingDetails) -> None:
        self._tasks = tasks
        self._stops = stops
        self._exports = exports
        self._details = details
        self._waiting = StopWaiters()

    def stop(
        self,
        task_id: str,
        force: bool,
        timeout_seconds: float | None,
        actor: str,
        wait: float = 0,
        keep_lora: bool = False,
    ) -> StoppedTask:
        """Request a stop, with a checkpoint unless `force`. A stopped task stays unchanged.

        With `keep_lora`, the last checkpoint is exported when it has ended.

        Return when it has ended, or after `wait` seconds. Raise TaskNotFound or TaskNotStoppable.
        """
        watch = self._stops.request_stop(task_id, force, timeout_seconds, actor, keep_lora)
        if watch is not None:
            return show_stopped(self._details.show_from_memory(watch))
        if keep_lora and self._tasks.get_summary(task_id).status is TaskStatus.STOPPED:
            # It was queued or had stopped, so that no attempt ends that would be followed by the export.
            self._exports.keep(task_id, actor)
        self._waiting.wait(lambda: self._tasks.get_summary(task_id).status.is_finished, wait)
        return show_stopped(self._details.get_changed(task_id))
