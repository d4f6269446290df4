"""Stop running attempts: pass the orders of stops to their supervisors, and record how far the stops are.

A stop must work without a disk or a database.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from api.domain.access.audit import note_change
from api.domain.reason import Reason, ReasonOrText
from api.domain.tasks.training import StopRung, StopState, TaskStatus, TaskSummary, TrainingTask
from api.errors import Conflict, DatabaseUnavailable, StorageFull, TaskNotFound
from api.executors.executor import AttemptRef, Executor, Observation, StopOrder
from api.files.disk import DiskReserve
from api.training.attempts.watch.watch import AttemptWatch
from api.training.attempts.watch.watches import Watches
from api.training.records.task_store import TaskStore
from api.util.clock import Clock

logger = logging.getLogger(__name__)


STOP_REQUESTED = Reason.of("stop with a checkpoint requested", "asked_to_stop")
STOP_NOW_REQUESTED = Reason.of("stop without a checkpoint requested", "asked_to_stop_at_once")


@dataclass(frozen=True, slots=True)
class PendingStop:
    """A stop that is in progress but not recorded in the database."""

    stop: StopState
    message: ReasonOrText
    problem: str


@dataclass(frozen=True, slots=True)
class StopTimes:
    """Seconds that each step of a stop may take."""

    checkpoint: float = 300.0
    terminate: float = 30.0


class AttemptStopping:
    """Stops attempts, also while the database cannot record it.

    Pending stops stay in memory until the database can record them. The order to the supervisor survives a restart of
    this service; a pending stop does not.
    """

    def __init__(
        self,
        tasks: TaskStore,
        executor: Executor,
        watches: Watches,
        reserve: DiskReserve,
        times: StopTimes,
        clock: Clock,
    ) -> None:
        self._tasks = tasks
        self._executor = executor
        self._watches = watches
        self._reserve = reserve
        self._pending: dict[str, PendingStop] = {}  #: by task id
        self.times = times  #: may change at run time
        self._clock = clock

    # -- requests ----------------------------------------------------------------------------------------------------

    def record(self, write: Callable[[], object], task_id: str, pending: PendingStop) -> AttemptWatch | None:
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
            watch = self._watches.find(task_id)
            if watch is None or not (pending.stop.force or isinstance(error, StorageFull)):
                raise
            self._stop_now(watch, pending.stop)
            self._pending[task_id] = replace(pending, problem=error.detail)
            note_change(
                about=task_id, after={"force": pending.stop.force, "timeout_seconds": pending.stop.timeout_seconds}
            )
            logger.warning("a stop is in progress but cannot be recorded yet", extra={"task_id": task_id})
            return watch
        return None

    def _stop_now(self, watch: AttemptWatch, stop: StopState) -> None:
        """Pass on a stop without querying the database, using the disk reserve if needed. Raise StorageFull."""
        order = self._order(stop, watch)
        try:
            self._executor.stop(watch.ref, order)
        except OSError as first:
            self._reserve.give_up()
            try:
                self._executor.stop(watch.ref, order)
            except OSError:
                raise StorageFull(f"The stop order cannot be written ({first.strerror}).") from first
        watch.ordered = order

    def show_pending(self, task: TrainingTask) -> TrainingTask:
        """Return the task with its stop that the database could not record, if it has one."""
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

    # -- rounds ------------------------------------------------------------------------------------------------------

    def flush_pending(self) -> None:
        """Record the pending stops. Raise DatabaseUnavailable."""
        for task_id, pending in list(self._pending.items()):
            # A finished task needs no stop.
            with suppress(Conflict, TaskNotFound):
                self._tasks.request_stop(task_id, pending.stop, self._clock.now(), pending.message)
            self._pending.pop(task_id, None)

    def stop_queued(self, ref: AttemptRef) -> None:
        """Withdraw an attempt that waits in the cluster."""
        self._executor.stop(ref, StopOrder(None, 0.0, self.times.terminate))

    def stop(self, task: TaskSummary, stop: StopState, watch: AttemptWatch, seen: Observation) -> None:
        """Pass on the stop of a task, once for each way of stopping."""
        order = self._order(stop, watch)
        # A stop never becomes softer. The signal file stays in the order even while the trainer does not check for it.
        is_harder = watch.ordered is None or (watch.ordered.checkpoint_seconds > 0 and stop.force)
        if is_harder:
            self._executor.stop(watch.ref, order)
            watch.ordered = order
        self.record_rung(task, watch, seen.stop_rung)

    def record_rung(self, task: TaskSummary, watch: AttemptWatch, rung: StopRung | None) -> None:
        """Record which step its stop has reached."""
        if task.stop is not None and rung is not None and rung is not task.stop.rung:
            self._tasks.record_stop_step(task, replace(task.stop, rung=rung), watch.attempt.uid, self._clock.now())

    def _order(self, stop: StopState, watch: AttemptWatch) -> StopOrder:
        signal_file = None if stop.force else watch.signal_file
        seconds = self.times.checkpoint if stop.timeout_seconds is None else stop.timeout_seconds
        return StopOrder(
            signal_file=signal_file,
            checkpoint_seconds=0.0 if signal_file is None else seconds,
            terminate_seconds=self.times.terminate,
        )

    def prepare_leave(self, watch: AttemptWatch) -> None:
        """Prepare the supervisor for saving in case the cluster ends its job while no service runs."""
        order = self._leave_order(watch)
        if order.signal_file is not None and watch.leave_order != order:
            self._executor.prepare_leave(watch.ref, order)
            watch.leave_order = order

    def _leave_order(self, watch: AttemptWatch) -> StopOrder:
        return StopOrder(watch.signal_file, self.times.checkpoint, self.times.terminate)

    def save_before_leave(self, watch: AttemptWatch) -> None:
        """Make an attempt whose GPUs the cluster wants back save and quit, so that the retry continues from there."""
        order = self._leave_order(watch)
        if order.signal_file is not None:
            self._executor.stop(watch.ref, order)
            watch.ordered = order
