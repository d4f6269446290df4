"""Show tasks: the details of one, and pages of many."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from api.domain.access.read_scope import current_scope
from api.domain.samples.sample_set import SampleOrder
from api.domain.samples.training_sample import AutomaticSamplesView
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import (
    Attempt,
    Checkpoint,
    TaskEvent,
    TaskFilter,
    TaskOrder,
    TaskStatus,
    TaskSummary,
    TrainingTask,
    in_queue_order,
)
from api.errors import StorageGone
from api.gpus.power.energy import EnergyBook
from api.gpus.service import GPUService
from api.training.attempts.watch.series import list_stretches
from api.training.attempts.watch.watch import AttemptWatch
from api.training.output.written import TrainingOutput
from api.training.queue.forecast import QueueForecast
from api.training.queue.quotas import Quotas
from api.training.records.attempt_store import TaskStores
from api.training.records.automatic_sample_store import SampleOrderStore
from api.training.records.task_store import TaskStore
from api.training.task_answers import ProgressAnswers, event_page
from api.training.view_builders import Waiting, show_details, show_row
from api.training.views import SeriesView, TaskDetails, TaskProgressView, TaskRow, XAxis
from api.util.clock import Clock
from api.util.copying import copy_fields
from api.util.http.pagination import Page, PageRequest, read_page

#: Limit of values of a series in one answer.
MAX_VALUES = 10_000


class TrainingDetails:
    """Shows single tasks."""

    def __init__(
        self,
        stores: TaskStores,
        orders: SampleOrderStore,
        output: TrainingOutput,
        progress: ProgressAnswers,
        gpus: GPUService,
        energy: EnergyBook,
        clock: Clock,
    ) -> None:
        self._tasks, self._attempts = stores.tasks, stores.attempts
        self._orders = orders
        self._output = output
        self._progress = progress
        self._gpus = gpus
        self._energy = energy
        self._clock = clock

    def get(self, task_id: str) -> TaskDetails:
        """Return the details of a task. Raise TaskNotFound, or OSError if its checkpoints cannot be read."""
        task, attempts = self._attempts.with_task(task_id)
        return self._show(task, attempts, self._output.find_checkpoints(task).checkpoints)

    def get_changed(self, task_id: str) -> TaskDetails:
        """Return the details after a change. Ignore disk errors, so that clients do not repeat the change."""
        return self._show_changed(*self._attempts.with_task(task_id))

    def show_changed(self, task: TrainingTask) -> TaskDetails:
        """Return the details of a task as a change has returned it, like `get_changed`."""
        return self._show_changed(task, self._attempts.of_task(task.task_id))

    def _show_changed(self, task: TrainingTask, attempts: Sequence[Attempt]) -> TaskDetails:
        checkpoints: tuple[Checkpoint, ...] = ()
        if attempts:
            with suppress(OSError, StorageGone):
                checkpoints = self._output.find_checkpoints(task).checkpoints
        return self._show(task, attempts, checkpoints)

    def _show(
        self, known: TrainingTask, attempts: Sequence[Attempt], checkpoints: tuple[Checkpoint, ...]
    ) -> TaskDetails:
        # Only a task that has begun can have a stop that the database does not know, and energy.
        task = self._progress.stopping.show_pending(known) if attempts else known
        files, live = self._output.files(known.task_id), self._progress.live(task, attempts)
        gpus, now, directories = self._gpus.get_all_gpus(), self._clock.now(), (files.output, files.log)
        waiting = self._progress.find_wait(task)
        details = show_details(task, attempts, live, checkpoints, gpus, directories, now, waiting)
        return replace(
            details,
            log_lost_bytes=self._progress.lost.count(attempts),
            samples=self._show_samples(task),
            stop_seconds=self._attempts.stop_seconds(task) if task.status.is_active and task.needs_gpus else None,
            energy=self._energy.of([task.task_id]).get(task.task_id) if attempts else None,
        )

    def _show_samples(self, task: TaskSummary) -> AutomaticSamplesView | None:
        is_training = task.kind is TaskType.TRAINING
        found = self._orders.find(task.task_id) if is_training else None
        return None if found is None else copy_fields(AutomaticSamplesView, found, found.order)

    def find_order(self, task_id: str) -> SampleOrder | None:
        """Return the automatic samples of a training, or None if it has none."""
        found = self._orders.find(task_id)
        return None if found is None else found.order

    def show_from_memory(self, watch: AttemptWatch) -> TaskDetails:
        """Return the details of a task that stops while the database is unavailable."""
        attempt, task = watch.attempt, self._progress.stopping.show_pending(watch.task)
        live, files = watch.show(), self._output.files(task.task_id)
        gpus, directories, idle = self._gpus.get_all_gpus(), (files.output, files.log), Waiting(None, None)
        return show_details(task, (attempt,), live, watch.checkpoints, gpus, directories, self._clock.now(), idle)

    def get_progress(self, task_id: str) -> TaskProgressView:
        """Return the progress of a task. Raise TaskNotFound."""
        return self._progress.get_progress(task_id)

    def get_events(self, task_id: str, page: PageRequest, *, is_newest_first: bool = False) -> Page[TaskEvent]:
        """Return events of a task, oldest first, or newest first. Raise TaskNotFound."""
        return event_page(self._tasks, task_id, page, is_newest_first=is_newest_first)

    def get_metrics(self, task_id: str, metric: str, type: XAxis, limit: int, since_step: int | None) -> SeriesView:  # noqa: A002
        """Return a metric over steps or epochs. Raise TaskNotFound."""
        self._tasks.get_summary(task_id)
        self._output.storage.require()
        stretches = list_stretches(self._attempts.of_task(task_id))
        # NumPy takes long to import, and only metrics need it.
        from api.training.series_views import show_series  # noqa: PLC0415

        return show_series(stretches, metric, type, min(limit, MAX_VALUES), since_step)


class TaskLists:
    """Reads pages of tasks, newest first or in queue order."""

    def __init__(self, tasks: TaskStore, quotas: Quotas | None) -> None:
        """Create the lists. Without `quotas`, tasks have no owners, and only class, priority and age count."""
        self._tasks = tasks
        self._quotas = quotas

    def page(
        self, criteria: TaskFilter, limit: int, offset: int | None, cursor: int | None, order: TaskOrder
    ) -> tuple[list[TaskSummary], int]:
        """Return up to `limit` tasks after the serial number `cursor` or after `offset` rows, and the total number."""
        if order is TaskOrder.QUEUE:
            return self._served_page(criteria, limit, offset or 0, cursor)
        return self._tasks.page(criteria, limit, offset, cursor)

    def _served_page(
        self, criteria: TaskFilter, limit: int, offset: int, cursor: int | None
    ) -> tuple[list[TaskSummary], int]:
        queue = self._tasks.queued()
        last = None if cursor is None else self._tasks.find_by_serial(cursor)
        if last is not None and criteria.seen_by not in (None, last.owner):
            # The reader must not learn the position of another user's task.
            last = None
        if last is not None and last.status is not TaskStatus.QUEUED:
            # The task has left the queue: use the position that it would have.
            queue = in_queue_order([*queue, last])
        serials = [task.serial for task in (queue if self._quotas is None else self._quotas.in_order(queue))]
        if last is None:
            return self._tasks.served_page(criteria, serials, limit, 0 if cursor is not None else offset)
        behind = serials[serials.index(last.serial) + 1 :]
        rows, _ = self._tasks.served_page(criteria, behind, limit, 0)
        return rows, self._tasks.served_page(criteria, serials, 0, 0)[1]


class TrainingPages:
    """Shows pages of tasks that the reader may see, and their numbers."""

    def __init__(
        self,
        tasks: TaskStore,
        lists: TaskLists,
        gpus: GPUService,
        progress: ProgressAnswers,
        forecast: QueueForecast,
        energy: EnergyBook,
    ) -> None:
        self._tasks = tasks
        self._lists = lists
        self._gpus = gpus
        self._progress = progress
        self._forecast = forecast
        self._energy = energy

    def get_page(self, criteria: TaskFilter, gpu: str | None, page: PageRequest, order: TaskOrder) -> Page[TaskRow]:
        """Return a page of visible tasks. `gpu` is an index or UUID; an unknown one gives an empty page."""
        gpus = {one.uuid: one for one in self._gpus.get_all_gpus()}
        if gpu is not None:
            by_index = {str(one.gpu_id): one.uuid for one in gpus.values()}
            criteria = replace(criteria, gpu_uuid=by_index.get(gpu) or gpu)
        criteria = replace(criteria, seen_by=current_scope.get().only_of)
        found = read_page(
            lambda limit, offset, cursor: self._lists.page(criteria, limit, offset, cursor, order),
            lambda row: row.serial,
            page,
        )
        energy = self._energy.of([task.task_id for task in found.rows])
        return found.map(lambda task: show_row(task, gpus, self._progress.find_wait(task), energy.get(task.task_id)))

    def queue_empty_at(self) -> datetime | None:
        """Return when the last queued task will have ended, or None if no task waits or a time is unknown."""
        return self._forecast.empty_at()

    def count(self) -> dict[TaskStatus, int]:
        """Return the number of visible tasks in each status."""
        counts = self._tasks.count_by_status(current_scope.get().only_of)
        return {status: counts.get(status, 0) for status in TaskStatus}
