"""The use cases of trainings: check, start, stop, resume, show. The training loop does the rest."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from api.domain.audit import note_change
from api.domain.read_scope import current_scope
from api.domain.reason import Reason
from api.domain.task import TASK_ID_KINDS, TaskType
from api.domain.training import (
    Attempt,
    Checkpoint,
    NewTask,
    ResumeOptions,
    TaskEvent,
    TaskFilter,
    TaskOrder,
    TaskStatus,
    TaskSummary,
    TrainingPlan,
    TrainingRequest,
    TrainingTask,
)
from api.errors import Conflict, Finding, NotFound, StorageGone, TaskActive, TaskNotFinished
from api.files.task_files import TaskFiles, task_files
from api.gpus.service import GPUService
from api.trainers.trainer import Trainer
from api.training.artifacts import OpenFile, list_artifacts, open_artifact
from api.training.attempt_store import AttemptStore
from api.training.attempts.pending_stops import PendingStops
from api.training.attempts.reconciler import Reconciler
from api.training.attempts.series import list_stretches
from api.training.attempts.watch import AttemptWatch
from api.training.dispatcher import Dispatcher
from api.training.forecast import QueueForecast
from api.training.intake import Intake
from api.training.lost_output import LostOutput
from api.training.preview import preview
from api.training.quotas import Quotas
from api.training.request_check import RequestChecker
from api.training.resume_changes import change_request, note_resume
from api.training.resume_points import choose_checkpoint, find_checkpoints
from api.training.stop_waiters import StopWaiters
from api.training.store import TaskStore
from api.training.task_events import event_page
from api.training.task_lists import TaskLists
from api.training.task_progress import ProgressAnswers
from api.training.task_stops import TaskStops
from api.training.view import (
    Waiting,
    show_details,
    show_findings,
    show_planned,
    show_row,
    show_stopped,
)
from api.training.views import (
    Artifact,
    CheckpointList,
    Deleted,
    PlannedGPUs,
    SeriesView,
    StoppedTask,
    TaskDetails,
    TaskProgressView,
    TaskRow,
    Validation,
    XAxis,
)
from api.util.clock import Clock
from api.util.foreign_files import is_gone, remove
from api.util.foreign_trees import remove_tree
from api.util.ids import new_task_id
from api.util.pagination import Page, PageRequest, read_page

logger = logging.getLogger(__name__)

#: Placeholder for the task id in the plan of a validated request.
NO_TASK = "TASK_ID"

#: Limit of values of a series in one answer.
MAX_VALUES = 10_000


class TrainingService:
    """The use cases of `/training`. `wake` triggers the training loop immediately."""

    def __init__(
        self,
        tasks: TaskStore,
        attempts: AttemptStore,
        checker: RequestChecker,
        dispatcher: Dispatcher,
        reconciler: Reconciler,
        trainers: Mapping[str, Trainer],
        gpus: GPUService,
        clock: Clock,
        storage_root: Path,
        wake: Callable[[], None],
        pending_stops: PendingStops,
        lost: LostOutput,
        quotas: Quotas | None = None,
        require_storage: Callable[[], None] = lambda: None,
    ) -> None:
        """Create the service.

        Without `quotas`, tasks have no owners. `require_storage` raises StorageGone if the storage is unavailable.
        """
        self._require_storage = require_storage
        self._pending_stops = pending_stops
        self._lost = lost
        self._tasks = tasks
        self._attempts = attempts
        self._checker = checker
        self._dispatcher = dispatcher
        self._reconciler = reconciler
        self._trainers = trainers
        self._gpus = gpus
        self._clock = clock
        self._storage_root = storage_root
        self._wake = wake
        self._quotas = quotas
        self._forecast = QueueForecast(tasks, gpus, clock, quotas)
        self._intake = Intake(tasks, dispatcher, gpus, self._forecast, clock, quotas)
        self._lists = TaskLists(tasks, quotas)
        self._waiting = StopWaiters()
        self._progress = ProgressAnswers(attempts, dispatcher, reconciler, clock)
        self._stops = TaskStops(tasks, attempts, self._progress, reconciler, clock, pending_stops, wake)

    # -- starting --------------------------------------------------------------------------------------------------

    def validate(
        self, request: TrainingRequest | None, mistakes: Sequence[Finding] = (), owner: str | None = None
    ) -> Validation:
        """Return the findings and the plan that `start` would have for this owner.

        `mistakes` are errors in the form of the request. `request` is None if they leave nothing to check.
        """
        if request is None:
            return Validation(False, show_findings(mistakes), (), None, None)
        checked = self._checker.check(request, NO_TASK, owner=owner)
        rejections = [*checked.problems, *self._intake.problems(owner, request)]
        problems = [Finding("", problem.detail, None) for problem in rejections]
        errors = show_findings([*mistakes, *checked.errors, *problems])
        return Validation(
            valid=not errors,
            errors=errors,
            warnings=show_findings(checked.warnings),
            plan=checked.plan,
            gpus=None if errors or checked.plan is None else self._plan_gpus(request, checked.plan, owner),
        )

    def _plan_gpus(self, request: TrainingRequest, plan: TrainingPlan, owner: str | None) -> PlannedGPUs:
        queue = [*self._tasks.queued(), preview(NO_TASK, request, plan, self._clock.now(), owner)]
        return show_planned(self._dispatcher.plan(queue), NO_TASK)

    def start(
        self,
        request: TrainingRequest,
        actor: str,
        idempotency_key: str | None = None,
        restarted_from: TrainingTask | None = None,
        owner: str | None = None,
    ) -> TaskDetails:
        """Create a task. It waits for its GPUs, or with `queue` false gets them immediately.

        Raise Invalid with all errors, InsufficientGPUs, InsufficientStorage, GPUBusy or QuotaExceeded.
        """
        now = self._clock.now()
        kind = TaskType.CACHE if request.cache_only else TaskType.TRAINING
        task_id = new_task_id(TASK_ID_KINDS[kind], now)
        previous = [] if restarted_from is None else [restarted_from.task_id]
        checked = self._checker.check(request, task_id, previous, owner)
        trainer, plan = checked.require()
        self._intake.require(owner, request)
        secrets = dict(checked.secrets)
        if restarted_from is not None:
            secrets = {**self._files(restarted_from.task_id).read_secrets(), **secrets}
        new = NewTask(
            task_id=task_id,
            trainer=trainer.name,
            request=checked.request,
            plan=plan,
            restarted_from=None if restarted_from is None else restarted_from.task_id,
            idempotency_key=idempotency_key,
            owner=owner,
            kind=kind,
        )
        task = self._create(new, secrets, actor)
        logger.info("training submitted", extra={"task_id": task.task_id, "model_type": request.model_type})
        self._wake()
        return self.get_changed(task.task_id)

    def _create(self, new: NewTask, secrets: Mapping[str, str], actor: str) -> TaskSummary:
        """Store the secrets and create the task. Remove its files if no task with this id is created."""
        files = self._files(new.task_id)
        files.store_secrets(secrets)
        try:
            task = self._intake.create(new, actor)
        except (Conflict, NotFound):
            # The queue is full, or a dataset was deleted in the meantime.
            remove_tree(str(files.root), levels=0)
            raise
        if task.task_id != new.task_id:
            remove_tree(str(files.root), levels=0)
        return task

    # -- changing --------------------------------------------------------------------------------------------------

    def stop(
        self, task_id: str, force: bool, timeout_seconds: float | None, actor: str, wait: float = 0
    ) -> StoppedTask:
        """Request a stop, with a checkpoint unless `force`. A stopped task stays unchanged.

        Return when it has ended, or after `wait` seconds. Raise TaskNotFound or TaskNotStoppable.
        """
        watch = self._stops.request_stop(task_id, force, timeout_seconds, actor)
        if watch is not None:
            return show_stopped(self._show_from_memory(watch))
        self._waiting.wait(lambda: self._tasks.get_summary(task_id).status.is_finished, wait)
        return show_stopped(self.get_changed(task_id))

    def _show_from_memory(self, watch: AttemptWatch) -> TaskDetails:
        """Return the details of a task that stops while the database is unavailable."""
        attempt, task = watch.attempt, self._pending_stops.show(watch.task)
        live, files = watch.show(), self._files(task.task_id)
        gpus, directories, idle = self._gpus.get_all_gpus(), (files.output, files.log), Waiting(None, None)
        return show_details(task, (attempt,), live, watch.checkpoints, gpus, directories, self._clock.now(), idle)

    def resume(
        self,
        task_id: str,
        options: ResumeOptions,
        change: Callable[[TrainingRequest], Mapping[str, Any]],
        actor: str,
    ) -> TaskDetails:
        """Resume a finished task from a checkpoint. `change` returns the changes of its request.

        Raise TaskNotFound, TaskActive, NoCheckpoint, Invalid, InsufficientGPUs, InsufficientStorage or QuotaExceeded.
        """
        task = self._tasks.get(task_id)
        if not task.status.is_finished:
            raise TaskActive(f"{task_id} is {task.status}.", data={"status": task.status})
        checkpoint = choose_checkpoint(task_id, self._checkpoints(task).checkpoints, options.checkpoint)
        changes = change(task.request)
        checked = self._checker.check(change_request(task.request, changes), task_id, [task_id], task.owner)
        _, plan = checked.require()
        if task.status is TaskStatus.COMPLETED and not changes:
            raise Conflict(
                f"{task_id} has completed. To continue it, change its config (for example, more epochs). Or restart it."
            )
        self._intake.require(task.owner, checked.request)
        files = self._files(task_id)
        files.store_secrets({**files.read_secrets(), **checked.secrets} if checked.secrets else {})
        note_resume(task.request, checked.request, checkpoint.name)
        message = Reason.of("to be resumed from {name}", "to_be_resumed", name=checkpoint.name)
        again = (task_id, options, checked.request, plan, self._clock.now(), actor, message)
        self._intake.enqueue(task.owner, lambda bound: self._tasks.enqueue_again(*again, bound))
        self._wake()
        return self.get_changed(task_id)

    def restart(
        self, task_id: str, actor: str, idempotency_key: str | None = None, owner: str | None = None
    ) -> TaskDetails:
        """Create a new task with the same request. Raise TaskNotFound, TaskNotFinished, or the errors of `start`."""
        task = self._tasks.get(task_id)
        if not task.status.is_finished:
            raise TaskNotFinished(f"{task_id} is {task.status}: stop it first.", data={"status": task.status})
        return self.start(task.request, actor, idempotency_key, restarted_from=task, owner=owner)

    def patch(self, task_id: str, changes: Mapping[str, Any], actor: str) -> TaskDetails:
        """Change name, description or priority. Raise TaskNotFound."""
        task = self._tasks.patch(task_id, dict(changes), self._clock.now(), actor)
        if task.status is TaskStatus.QUEUED and "priority" in changes:
            self._wake()
        return self._show_changed(task, self._attempts.of_task(task_id))

    def delete(self, task_id: str, with_files: bool) -> Deleted:
        """Delete a finished task, and its files if requested. A cache task always loses its files.

        Raise TaskNotFound, TaskNotFinished or CacheInUse.
        """
        with_files = with_files or self._tasks.get_summary(task_id).kind is TaskType.CACHE
        note_change(after={"files_removed": with_files})
        self._tasks.delete(task_id, self._clock.steady.now())
        root = self._files(task_id).root
        if with_files:
            remove_tree(str(root), levels=0)
        else:
            # The secrets only serve to resume or restart the task.
            remove(str(self._files(task_id).secrets), levels=1)
        logger.info("training deleted", extra={"task_id": task_id, "with_files": with_files})
        is_left = not is_gone(str(root))
        if self._quotas is not None and not is_left:
            self._quotas.forget_files(task_id)
        return Deleted(task_id, with_files and not is_left, str(root) if is_left else None)

    # -- reading ---------------------------------------------------------------------------------------------------

    def get(self, task_id: str) -> TaskDetails:
        """Return the details of a task. Raise TaskNotFound, or OSError if its checkpoints cannot be read."""
        task, attempts = self._attempts.with_task(task_id)
        return self._show(task, attempts, self._checkpoints(task).checkpoints)

    def get_changed(self, task_id: str) -> TaskDetails:
        """Return the details after a change. Ignore disk errors, so that clients do not repeat the change."""
        return self._show_changed(*self._attempts.with_task(task_id))

    def _show_changed(self, task: TrainingTask, attempts: Sequence[Attempt]) -> TaskDetails:
        checkpoints: tuple[Checkpoint, ...] = ()
        with suppress(OSError, StorageGone):
            checkpoints = self._checkpoints(task).checkpoints
        return self._show(task, attempts, checkpoints)

    def _show(
        self, known: TrainingTask, attempts: Sequence[Attempt], checkpoints: tuple[Checkpoint, ...]
    ) -> TaskDetails:
        task = self._pending_stops.show(known)
        files, live = self._files(known.task_id), self._progress.live(task, attempts)
        gpus, now, directories = self._gpus.get_all_gpus(), self._clock.now(), (files.output, files.log)
        details = show_details(task, attempts, live, checkpoints, gpus, directories, now, self._waits(task))
        return replace(details, log_lost_bytes=self._lost.count(attempts))

    def _waits(self, task: TaskSummary) -> Waiting:
        return Waiting(self._dispatcher.why_waiting(task), self._forecast.of(task))

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
        return found.map(lambda task: show_row(task, gpus, self._waits(task)))

    def get_progress(self, task_id: str) -> TaskProgressView:
        """Return the progress of a task. Raise TaskNotFound."""
        return self._progress.get_progress(task_id)

    def get_checkpoints(self, task_id: str) -> CheckpointList:
        """Return the checkpoints of a task, oldest first. Raise TaskNotFound or OSError."""
        return self._checkpoints(self._tasks.get_summary(task_id))

    def _checkpoints(self, task: TaskSummary) -> CheckpointList:
        self._require_storage()
        return find_checkpoints(self._trainers.get(task.trainer), self._files(task.task_id).output)

    def get_artifacts(self, task_id: str) -> list[Artifact]:
        """Return every file that a task made, by path. Raise TaskNotFound or OSError."""
        task = self._tasks.get_summary(task_id)
        complete = {found.name: found.is_complete for found in self._checkpoints(task).checkpoints}
        return list_artifacts(self._files(task_id).output, complete, task.name or task.model_type)

    def open_artifact(self, task_id: str, path: str) -> OpenFile:
        """Open a file of a task for reading. Raise TaskNotFound, ArtifactNotFound or StorageGone."""
        task = self._tasks.get_summary(task_id)
        self._require_storage()
        return open_artifact(self._files(task_id).output, path, task.name or task.model_type)

    def get_events(self, task_id: str, page: PageRequest) -> Page[TaskEvent]:
        """Return events of a task, oldest first. Raise TaskNotFound."""
        return event_page(self._tasks, task_id, page)

    def get_metrics(self, task_id: str, metric: str, type: XAxis, limit: int, since_step: int | None) -> SeriesView:  # noqa: A002
        """Return a metric over steps or epochs. Raise TaskNotFound."""
        self._tasks.get_summary(task_id)
        self._require_storage()
        stretches = list_stretches(self._attempts.of_task(task_id))
        # NumPy takes long to import, and only metrics need it.
        from api.training.metrics import show_series  # noqa: PLC0415

        return show_series(stretches, metric, type, min(limit, MAX_VALUES), since_step)

    def count(self) -> dict[TaskStatus, int]:
        """Return the number of visible tasks in each status."""
        counts = self._tasks.count_by_status(current_scope.get().only_of)
        return {status: counts.get(status, 0) for status in TaskStatus}

    def _files(self, task_id: str) -> TaskFiles:
        return task_files(self._storage_root, task_id)
