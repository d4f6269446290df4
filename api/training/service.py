"""The use cases of trainings: check, start, stop, resume, show. The training loop does the rest."""

import logging
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from api.domain.audit import note_change
from api.domain.dataset import PinnedDataset
from api.domain.durations import UsualDurations
from api.domain.finding import finding_of
from api.domain.read_scope import current_scope
from api.domain.reason import Reason
from api.domain.sample_set import RequestedSamples, SampleOrder
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
from api.errors import (
    CheckpointInUse,
    CheckpointNotFound,
    Conflict,
    DatabaseUnavailable,
    Finding,
    Invalid,
    NoCheckpoint,
    StorageGone,
    TaskActive,
    TaskNotFinished,
    Unavailable,
)
from api.files.task_files import TaskFiles, task_files
from api.files.weights.rewriting import RewrittenFile
from api.gpus.service import GPUService
from api.trainers.trainer import Trainer
from api.training.artifacts import OpenFile, list_artifacts, open_artifact, saved_models
from api.training.attempt_store import AttemptStore
from api.training.attempts.pending_stops import PendingStops
from api.training.attempts.reconciler import Reconciler
from api.training.attempts.series import list_stretches
from api.training.attempts.watch import AttemptWatch
from api.training.delivery import deliver
from api.training.dispatcher import Dispatcher
from api.training.energy import EnergyBook
from api.training.export_order import ExportOrder
from api.training.exports import Exports
from api.training.forecast import QueueForecast
from api.training.intake import Intake, preview
from api.training.quotas import Quotas
from api.training.request_check import RequestChecker
from api.training.resume_points import (
    change_request,
    choose_checkpoint,
    find_checkpoints,
    find_resume_point,
    note_resume,
    plan_resume,
    require_unneeded,
)
from api.training.sample_orders import SampleOrderStore
from api.training.sample_views import AutomaticSamplesView
from api.training.store import NewSamples, TaskStore
from api.training.task_progress import LostOutput, ProgressAnswers, event_page
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
    DeletedCheckpoint,
    PlannedGPUs,
    SeriesView,
    StoppedTask,
    TaskDetails,
    TaskProgressView,
    TaskRow,
    Validation,
    XAxis,
)
from api.util.caller import has_caller_left
from api.util.clock import Clock
from api.util.copying import copy_fields
from api.util.foreign_files import is_gone, remove
from api.util.ids import new_task_id
from api.util.pagination import Page, PageRequest, read_page

logger = logging.getLogger(__name__)

#: Placeholder for the task id in the plan of a validated request.
NO_TASK = "TASK_ID"

#: Limit of values of a series in one answer.
MAX_VALUES = 10_000


#: An index behind every line of tasks.
MAX_LINE = 2**31

#: Limit of concurrent waiting requests. Each blocks one of the threads that serve requests.
MAX_WAITERS = 4

#: Interval between two checks, in seconds.
POLL_SECONDS = 0.1


#: Fields of a task that decide when its turn is.
_OF_ORDER = frozenset({"priority", "priority_class", "start_not_before"})


class TaskLists:
    """Pages of tasks, newest first or in queue order."""

    def __init__(self, tasks: TaskStore, quotas: Quotas | None) -> None:
        """Create the lists. Without `quotas`, tasks have no owners, and only class, priority and age count."""
        self._tasks = tasks
        self._quotas = quotas

    def page(
        self, criteria: TaskFilter, limit: int, offset: int | None, cursor: int | None, order: TaskOrder
    ) -> tuple[list[TaskSummary], int]:
        """Return up to `limit` tasks after the serial number `cursor` or after `offset` rows, and the total number."""
        if order is TaskOrder.QUEUE and self._quotas is not None:
            return self._served_page(self._quotas, criteria, limit, offset or 0, cursor)
        return self._tasks.page(criteria, limit, offset, cursor, order)

    def _served_page(
        self, quotas: Quotas, criteria: TaskFilter, limit: int, offset: int, cursor: int | None
    ) -> tuple[list[TaskSummary], int]:
        queue = self._tasks.queued()
        last = None if cursor is None else self._tasks.find_by_serial(cursor)
        if last is not None and criteria.seen_by not in (None, last.owner):
            # The reader must not learn the position of another user's task.
            last = None
        if last is not None and last.status is not TaskStatus.QUEUED:
            # The task has left the queue: use the position that it would have.
            queue = sorted([*queue, last], key=lambda task: (-task.level, task.queue_rank, task.serial))
        serials = [task.serial for task in quotas.in_order(queue)]
        if last is None:
            return self._tasks.served_page(criteria, serials, limit, 0 if cursor is not None else offset)
        rows, _ = self._tasks.served_page(criteria, _behind(serials, last.serial), limit, 0)
        return rows, self._tasks.served_page(criteria, serials, 0, 0)[1]


def _behind(serials: Sequence[int], serial: int) -> Sequence[int]:
    return serials[serials.index(serial) + 1 :]


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
        quotas: Quotas | None,
        require_storage: Callable[[], None],
        exports: Exports,
        orders: SampleOrderStore,
        forecast: QueueForecast,
        intake: Intake,
        find_trigger: Callable[[Sequence[PinnedDataset]], str | None],
        energy: EnergyBook,
        unlink_models: Callable[[str], None],
    ) -> None:
        """Create the service.

        Without `quotas`, tasks have no owners. `require_storage` raises StorageGone if the storage is unavailable.
        `find_trigger` returns the trigger word that preprocessing put in front of the captions of datasets.
        `unlink_models` has the links of a deleted training removed from ComfyUI's directories.
        """
        self._unlink_models = unlink_models
        self._find_trigger = find_trigger
        self._orders = orders
        self._require_storage = require_storage
        self._exports = exports
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
        self._forecast = forecast
        self._intake = intake
        self._energy = energy
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
            return Validation(False, show_findings(mistakes), (), None, None, None)
        checked = self._checker.check(request, NO_TASK, owner=owner)
        rejections = [*checked.problems, *self._intake.problems(owner, request)]
        problems = [finding_of("", problem) for problem in rejections]
        errors = show_findings([*mistakes, *checked.errors, *problems])
        return Validation(
            valid=not errors,
            errors=errors,
            warnings=show_findings(checked.warnings),
            plan=checked.plan,
            gpus=None if errors or checked.plan is None else self._plan_gpus(request, checked.plan, owner),
            estimated_duration=None
            if checked.plan is None
            else UsualDurations(self._tasks.completed_runs()).of_plan(checked.plan),
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
        kind = TaskType.TRAINING
        if request.cache_only or request.rehearsal:
            kind = TaskType.CACHE if request.cache_only else TaskType.REHEARSAL
        task_id = new_task_id(TASK_ID_KINDS[kind], now)
        previous = [] if restarted_from is None else [restarted_from.task_id]
        earlier = None if restarted_from is None else self._find_order(restarted_from)
        if restarted_from is not None:
            # Its own samples count, also if their set was changed or deleted.
            request = replace(request, samples=None)
        checked = self._checker.check(request, task_id, previous, owner)
        trainer, plan = checked.require()
        self._intake.require(owner, request)
        secrets = dict(checked.secrets)
        if restarted_from is not None:
            secrets = {**self._files(restarted_from.task_id).read_secrets(), **secrets}
        order = checked.samples or earlier
        new = NewTask(
            task_id=task_id,
            trainer=trainer.name,
            request=replace(checked.request, samples=None if order is None else order.request),
            plan=plan,
            samples=order,
            restarted_from=None if restarted_from is None else restarted_from.task_id,
            idempotency_key=idempotency_key,
            owner=owner,
            kind=kind,
        )
        files = self._files(task_id)
        task = self._intake.create_with_files(new, actor, files, lambda: files.store_secrets(secrets))
        logger.info("training submitted", extra={"task_id": task.task_id, "model_type": request.model_type})
        self._wake()
        return self.get_changed(task.task_id)

    # -- changing --------------------------------------------------------------------------------------------------

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
            return show_stopped(self._show_from_memory(watch))
        if keep_lora and self._tasks.get_summary(task_id).status is TaskStatus.STOPPED:
            # It was queued or had stopped, so that no attempt ends that would be followed by the export.
            self._exports.keep(task_id, actor)
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
        _require_training(task)
        if not task.status.is_finished:
            raise TaskActive(f"{task_id} is {task.status}.", data={"status": task.status})
        if task.kind is TaskType.REHEARSAL:
            raise NoCheckpoint(f"{task_id} is a rehearsal, which leaves no checkpoints: restart it instead.")
        found = self._checkpoints(task)
        checkpoint = choose_checkpoint(task_id, found.checkpoints, options.checkpoint)
        changes = change(task.request)
        # Its automatic samples stay as they are.
        present = replace(task.request, **_changed_since(task), samples=None)
        checked = self._checker.check(change_request(present, changes), task_id, [task_id], task.owner)
        _, plan = checked.require()
        if task.status is TaskStatus.COMPLETED and not changes.keys() - {"tags", "notes", "trigger_word"}:
            raise Conflict(
                f"{task_id} has completed. To continue it, change its config (for example, more epochs). Or restart it."
            )
        self._intake.require(task.owner, checked.request)
        files = self._files(task_id)
        files.store_secrets({**files.read_secrets(), **checked.secrets} if checked.secrets else {})
        note_resume(task.request, checked.request, checkpoint.name)
        message = Reason.of("to be resumed from {name}", "to_be_resumed", name=checkpoint.name)
        point = find_resume_point(self._trainers[task.trainer], found.run_dir, checkpoint.name, options)
        request = replace(checked.request, samples=task.request.samples)
        verify = lambda: choose_checkpoint(task_id, self._checkpoints(task).checkpoints, checkpoint.name)  # noqa: E731
        again = (task_id, options, request, plan_resume(plan, point), self._clock.now(), actor, message)
        self._intake.enqueue(task.owner, lambda bound: self._tasks.enqueue_again(*again, bound, verify))
        self._wake()
        return self.get_changed(task_id)

    def restart(
        self, task_id: str, actor: str, idempotency_key: str | None = None, owner: str | None = None
    ) -> TaskDetails:
        """Create a new task with the same request. Raise TaskNotFound, TaskNotFinished, or the errors of `start`."""
        task = self._tasks.get(task_id)
        _require_training(task)
        if not task.status.is_finished:
            raise TaskNotFinished.because(f"{task_id} is {task.status}.", task.status)
        request = replace(task.request, **_changed_since(task))
        return self.start(request, actor, idempotency_key, restarted_from=task, owner=owner)

    def patch(
        self,
        task_id: str,
        changes: Mapping[str, Any],
        actor: str,
        position: str | int | None = None,
        samples: tuple[bool, RequestedSamples | None] = (False, None),
    ) -> TaskDetails:
        """Change the fields that can change at any time, the position in the queue or the automatic samples.

        `samples` has whether they change, and the new ones. Raise TaskNotFound, Invalid for samples, or TaskNotQueued
        for a position.
        """
        index = None if position is None else self._index_in_line(task_id, changes, position)
        new = NewSamples(self._check_samples(task_id, samples[1], changes)) if samples[0] else None
        task = self._tasks.patch(task_id, changes, self._clock.now(), actor, index, new)
        if task.status is TaskStatus.QUEUED and (position is not None or not _OF_ORDER.isdisjoint(changes)):
            self._forecast.forget()
            self._wake()
        return self._show_changed(task, self._attempts.of_task(task_id))

    def _check_samples(
        self, task_id: str, requested: RequestedSamples | None, changes: Mapping[str, Any]
    ) -> SampleOrder | None:
        """Return the new automatic samples of a training that gets these changes, too.

        Raise TaskNotFound, Conflict or Invalid.
        """
        task = self._tasks.get(task_id)
        if requested is None:
            return None
        if task.kind is not TaskType.TRAINING:
            raise Conflict(f"{task_id} is no training, so it saves no models to render.")
        trigger_word = changes.get("trigger_word", task.trigger_word)
        request = replace(task.request, samples=requested, trigger_word=trigger_word)
        order, mistakes = self._checker.check_samples(request, task.plan)
        if mistakes:
            raise Invalid(mistakes=mistakes)
        return order

    def _find_order(self, task: TaskSummary) -> SampleOrder | None:
        found = self._orders.find(task.task_id)
        return None if found is None else found.order

    def _index_in_line(self, task_id: str, changes: Mapping[str, Any], position: str | int) -> int:
        """Return the index in the line that it will be in whose turn is at or before this position.

        A line has the tasks of one owner with equal class and priority.
        """
        if isinstance(position, str):
            return 0 if position == "first" else MAX_LINE
        task = self._tasks.get_summary(task_id)
        changed = replace(task, **{name: value for name, value in changes.items() if name in _OF_ORDER})
        line = (task.owner, changed.level)
        waiting = [other for other in self._tasks.queued() if (other.owner, other.level) == line]
        forecasts = [self._forecast.of(other) for other in waiting]
        turns = sorted(found.position for found in forecasts if found is not None)
        if changed.level != task.level:
            # It joins the line, which does not contain it yet.
            return bisect_left(turns, position)
        return max(bisect_right(turns, position) - 1, 0)

    def delete_checkpoint(self, task_id: str, name: str, actor: str) -> DeletedCheckpoint:
        """Delete a checkpoint. Raise TaskNotFound, CheckpointNotFound, CheckpointInUse or Unavailable."""
        undo: list[Callable[[], None]] = []

        def hide(task: TaskSummary, resumed_from: str | None, made: Sequence[TrainingTask]) -> Checkpoint:
            found = self._checkpoints(task)
            checkpoint = next((one for one in found.checkpoints if one.name == name), None)
            if checkpoint is None or found.run_dir is None:
                raise CheckpointNotFound(data={"checkpoints": [one.name for one in found.checkpoints]})
            require_unneeded(task, resumed_from, found.checkpoints, checkpoint)
            if any(ExportOrder.of_task(each).checkpoint == name for each in made if not each.status.is_finished):
                raise CheckpointInUse(f"A LoRA is being made of {name}. Delete it afterwards.")
            trainer, run_dir = self._trainers[task.trainer], Path(found.run_dir)
            try:
                trainer.hide_checkpoint(run_dir, name)
            except OSError as error:
                raise Unavailable(f"{name} cannot be deleted ({error.strerror}). Try again.") from error
            undo.append(lambda: trainer.unhide_checkpoint(run_dir, name))
            return checkpoint

        try:
            checkpoint = self._tasks.note_deleted_checkpoint(task_id, hide, self._clock.now(), actor)
        except DatabaseUnavailable:
            # Nothing was recorded: the checkpoint is there again, so that the request can be repeated.
            with suppress(OSError):
                for step in undo:
                    step()
            raise
        logger.info("checkpoint deleted", extra={"task_id": task_id, "checkpoint": name})
        task = self._tasks.get_summary(task_id)
        run_dir = self._checkpoints(task).run_dir
        is_deleted = run_dir is not None and self._trainers[task.trainer].delete_hidden(Path(run_dir))
        if self._quotas is not None:
            # Its files are measured again.
            self._quotas.forget_files(task_id)
        return DeletedCheckpoint(task_id, name, checkpoint.size_bytes if is_deleted else None)

    def delete(self, task_id: str, with_files: bool) -> Deleted:
        """Delete a finished task with its samples, and its files if requested.

        Tasks that build caches, rehearse or render samples always lose their files. Raise TaskNotFound,
        TaskNotFinished (also while an export needs its files) or CacheInUse.
        """
        own = (TaskType.CACHE, TaskType.REHEARSAL, TaskType.SAMPLE)
        with_files = with_files or self._tasks.get_summary(task_id).kind in own
        if with_files:
            self._require_no_export(task_id)
        note_change(after={"files_removed": with_files})
        for sampling_id in self._tasks.delete(task_id, self._clock.steady.now()):
            self._files(sampling_id).remove()
        files = self._files(task_id)
        if with_files:
            files.remove()
            self._unlink_models(task_id)
        else:
            # The secrets only serve to resume or restart the task.
            remove(str(files.secrets), levels=1)
        logger.info("training deleted", extra={"task_id": task_id, "with_files": with_files})
        is_left = not is_gone(str(files.root))
        if self._quotas is not None and not is_left:
            self._quotas.forget_files(task_id)
        return Deleted(task_id, with_files and not is_left, str(files.root) if is_left else None)

    def _require_no_export(self, task_id: str) -> None:
        """Raise TaskNotFinished if an export needs the files of a task."""
        for made in self._tasks.exports_of(task_id):
            if not made.status.is_finished:
                raise TaskNotFinished.because(f"{made.task_id} exports a checkpoint of it.", made.status)

    def choose(self, task_id: str, name: str | None, actor: str) -> TaskDetails:
        """Store which saved model is the chosen one; None: no model is. Raise TaskNotFound or CheckpointNotFound."""

        def verify() -> None:
            saved = saved_models(self._files(task_id).output)
            if name is not None and name not in saved:
                raise CheckpointNotFound(f"{task_id} has no saved model {name!r}.", data={"checkpoints": list(saved)})

        task = self._tasks.choose(task_id, name, self._clock.now(), actor, verify)
        return self._show_changed(task, self._attempts.of_task(task_id))

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
        if attempts:
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
        energy = self._energy.of([task.task_id]).get(task.task_id)
        return replace(
            details,
            log_lost_bytes=self._lost.count(attempts),
            samples=self._show_samples(task),
            stop_seconds=self._attempts.stop_seconds(task) if task.status.is_active and task.needs_gpus else None,
            energy=energy,
        )

    def _show_samples(self, task: TaskSummary) -> AutomaticSamplesView | None:
        is_training = task.kind is TaskType.TRAINING
        found = self._orders.find(task.task_id) if is_training else None
        return None if found is None else copy_fields(AutomaticSamplesView, found, found.order)

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
        energy = self._energy.of([task.task_id for task in found.rows])
        return found.map(lambda task: show_row(task, gpus, self._waits(task), energy.get(task.task_id)))

    def queue_empty_at(self) -> datetime | None:
        """Return when the last queued task will have ended, or None if no task waits or a time is unknown."""
        return self._forecast.empty_at()

    def get_progress(self, task_id: str) -> TaskProgressView:
        """Return the progress of a task. Raise TaskNotFound."""
        return self._progress.get_progress(task_id)

    def get_checkpoints(self, task_id: str) -> CheckpointList:
        """Return the checkpoints of a task, oldest first, with their exports. Raise TaskNotFound or OSError."""
        found = self._checkpoints(self._tasks.get_summary(task_id))
        return replace(found, exports=self._exports.of(task_id))

    def _checkpoints(self, task: TaskSummary) -> CheckpointList:
        self._require_storage()
        return find_checkpoints(self._trainers.get(task.trainer), self._files(task.task_id).output)

    def get_artifacts(self, task_id: str) -> list[Artifact]:
        """Return every file that a task made, by path. Raise TaskNotFound or OSError."""
        task = self._tasks.get_summary(task_id)
        complete = {found.name: found.is_complete for found in self._checkpoints(task).checkpoints}
        return list_artifacts(self._files(task_id).output, complete, task.name or task.model_type)

    def open_artifact(self, task_id: str, path: str, *, is_raw: bool = False) -> OpenFile | RewrittenFile:
        """Open a file of a task for reading, a saved model with its metadata unless `is_raw`.

        Raise TaskNotFound, ArtifactNotFound or StorageGone.
        """
        task = self._tasks.get(task_id)
        self._require_storage()
        file = open_artifact(self._files(task_id).output, path, task.name or task.model_type)
        try:
            return file if is_raw else deliver(task, file, path, self._find_trigger)
        except OSError:
            file.close()
            raise

    def require(self, task_id: str) -> None:
        """Raise TaskNotFound or StorageGone."""
        self._tasks.get_summary(task_id)
        self._require_storage()

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


def _changed_since(task: TrainingTask) -> dict[str, Any]:
    """Return the fields of a request that a user may have changed since."""
    return {"tags": task.tags, "notes": task.notes, "trigger_word": task.trigger_word}


def _require_training(task: TrainingTask) -> None:
    if task.kind is TaskType.EXPORT:
        raise Conflict(f"{task.task_id} is an export. Request the export of its checkpoint again.")
    if task.kind is TaskType.SAMPLE:
        raise Conflict(f"{task.task_id} renders samples. Request the samples of its training again.")
