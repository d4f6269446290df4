"""Exports: saved models made of checkpoints, which trainers write only to resume from them."""

import logging
from dataclasses import replace
from pathlib import Path

from api.db.leadership import LeadershipLost
from api.domain.reason import Reason, code_of
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import (
    Checkpoint,
    EventKind,
    PlannedExport,
    TaskStatus,
    TrainingTask,
)
from api.errors import (
    CheckBusy,
    CheckpointIncomplete,
    CheckpointNotFound,
    DatabaseUnavailable,
    ExportUnsupported,
    NoCheckpoint,
    ServiceError,
    TaskActive,
)
from api.jobs.exports.request import ExportRequest
from api.trainers.trainer import SupportsExport
from api.training.output.export_order import ExportMethod, ExportOrder
from api.training.output.follow_up_tasks import FollowUpTasks
from api.training.output.resume_points import last_complete
from api.training.output.trainer_exports import TrainerExports
from api.training.output.written import TrainingOutput
from api.training.queue.dispatcher import Dispatcher
from api.training.records.task_store import TaskStore
from api.training.views import CheckpointList, ExportView
from api.util.clock import Clock
from api.util.copying import copy_fields

logger = logging.getLogger(__name__)


class Exports:
    """Makes saved models of checkpoints, by one task for each version of a checkpoint. Thread-safe.

    A program makes them of the checkpoint's files, without GPUs. Where it cannot, the trainer makes one more step.
    """

    def __init__(
        self,
        tasks: FollowUpTasks,
        by_trainer: TrainerExports,
        exports: TaskStore,
        trainings: TaskStore,
        output: TrainingOutput,
        dispatcher: Dispatcher,
        clock: Clock,
    ) -> None:
        self._tasks = tasks
        self._by_trainer = by_trainer
        self._exports = exports
        self._trainings = trainings
        self._output = output
        self._dispatcher = dispatcher
        self._clock = clock

    def start(self, task_id: str, name: str | None, actor: str, method: ExportMethod | None = None) -> ExportView:
        """Make a saved model of a checkpoint, by default the last complete one. Return an existing or running export.

        Raise the errors of `make`.
        """
        order, task = self.make(task_id, name, actor, method)
        return _show_saved(order) if task is None else self._show(task)

    def make(
        self, task_id: str, name: str | None, actor: str, method: ExportMethod | None = None
    ) -> tuple[ExportOrder, TrainingTask | None]:
        """Make a saved model of a checkpoint, by default the last complete one. Return what is made, and the export.

        The export is None if the trainer itself has saved the model. Without `method` the trainer makes it only if that
        is impossible directly. Raise TaskNotFound, CheckpointNotFound, NoCheckpoint, CheckpointIncomplete,
        ExportUnsupported, QuotaExceeded, InsufficientStorage, OSError, or for the trainer Invalid, InsufficientGPUs or
        CheckBusy.
        """
        self._output.storage.require()
        task = self._trainings.get(task_id)
        trainer = self._output.trainers.get(task.trainer)
        if task.kind is not TaskType.TRAINING or not isinstance(trainer, SupportsExport):
            raise ExportUnsupported(f"{task_id} has no checkpoints of which a LoRA can be made.")
        found = self._output.find_checkpoints(task)
        checkpoint, run_dir = _choose(task_id, found, name), Path(found.run_dir or "")
        written_at = checkpoint.created_at.isoformat()
        if method is not ExportMethod.RESUME:
            try:
                options = trainer.export_options(task.plan)
            except ExportUnsupported:
                if method is ExportMethod.DIRECT:
                    raise
            else:
                config, target = self._newest_config(task), f"step{checkpoint.step}"
                request = ExportRequest(str(run_dir), checkpoint.name, written_at, target, config, options)
                order = ExportOrder.of(task.task_id, request)
                return self._find_saved(order) or (order, self._find_or_create(task, order, request, actor))
        planned = PlannedExport(task_id, run_dir.name, checkpoint.name, written_at, (checkpoint.step or 0) + 1)
        return self._start_by_trainer(task, trainer, planned, actor)

    def keep(self, task_id: str, actor: str) -> None:
        """Export the last complete checkpoint of a training that ends. Record on the training if that is impossible.

        Repeated calls change nothing. Raise DatabaseUnavailable.
        """
        try:
            self.start(task_id, None, actor)
        except (DatabaseUnavailable, LeadershipLost, CheckBusy):
            raise
        except Exception as error:
            # Whatever prevents an export must not hold the GPUs of a training that has ended.
            why = error.detail if isinstance(error, ServiceError) else str(error)
            message = Reason.of("no LoRA was made of its checkpoint: {why}", "no_lora_made", why=why)
            self._trainings.add_event(task_id, EventKind.WARNING, self._clock.now(), "service", message, None)
            is_expected = isinstance(error, (ServiceError, OSError))
            extra = {"task_id": task_id, "problem": why}
            logger.warning("no export after a stop", extra=extra, exc_info=not is_expected)

    def of(self, task_id: str) -> tuple[ExportView, ...]:
        """Return the latest exports of a training, newest first."""
        return tuple(self._show(task) for task in self._exports.exports_of(task_id))

    # -- starting --------------------------------------------------------------------------------------------------

    def _start_by_trainer(
        self, task: TrainingTask, trainer: SupportsExport, planned: PlannedExport, actor: str
    ) -> tuple[ExportOrder, TrainingTask | None]:
        order = ExportOrder.by_trainer(planned)
        # A model of the checkpoint's own step may exist, from the trainer or from a direct export.
        exact = replace(order, target=f"step{planned.step - 1}", method=ExportMethod.DIRECT)
        saved = self._find_saved(exact) or self._find_saved(order)
        if saved is not None:
            return saved
        known = self._exports.find_by_key(order.key)
        if known is None or known.status.is_finished:
            # Its copy of the checkpoint is removed when it has finished, so a new task repeats it.
            verify = lambda: self._require(task, order.checkpoint)  # noqa: E731
            known = self._exports.get(self._by_trainer.create(task, trainer, planned, known, actor, verify))
        return order, known

    def _find_saved(self, order: ExportOrder) -> tuple[ExportOrder, TrainingTask | None] | None:
        """Return the model of this version of the checkpoint with its export, or None if there is no such model."""
        name = order.find_model(self._directory_of(order))
        if name is None:
            return None
        known = self._exports.find_by_key(order.key)
        is_done = known is not None and known.status is TaskStatus.COMPLETED
        return replace(order, file_name=name), known if is_done else None

    def _directory_of(self, order: ExportOrder) -> Path:
        return self._output.files(order.task_id).output / order.run / order.target

    def _find_or_create(
        self, task: TrainingTask, order: ExportOrder, request: ExportRequest, actor: str
    ) -> TrainingTask:
        # Two requests at the same time have the same key, so that they get the same task.
        known = self._exports.find_by_key(order.key)
        if known is None:
            return self._create(task, order, request, actor)
        if not known.status.is_finished:
            return known
        try:
            return self._tasks.repeat(known, request.as_json(), actor, checkpoint=order.checkpoint)
        except TaskActive:
            return self._exports.get(known.task_id)

    def _create(self, task: TrainingTask, order: ExportOrder, request: ExportRequest, actor: str) -> TrainingTask:
        verify = lambda: self._require(task, order.checkpoint)  # noqa: E731
        task_id = self._tasks.create(task, order.as_json(), request.as_json(), order.key, actor, verify)
        logger.info("export submitted", extra={"task_id": task_id, "training": task.task_id})
        return self._exports.get(task_id)

    def _require(self, task: TrainingTask, name: str) -> None:
        """Raise CheckpointNotFound unless the checkpoint exists. Raise OSError."""
        found = self._output.find_checkpoints(task)
        _choose(task.task_id, found, name)

    def _newest_config(self, task: TrainingTask) -> str | None:
        """Return the path of the configuration with which the task ran last, or None before its first attempt."""
        directory = self._output.files(task.task_id).attempts / str(task.attempts)
        return str(directory / "config.toml") if task.attempts else None

    # -- showing ---------------------------------------------------------------------------------------------------

    def _show(self, task: TrainingTask) -> ExportView:
        order, why = ExportOrder.of_task(task), self._dispatcher.why_waiting(task)
        is_done = task.status is TaskStatus.COMPLETED
        is_there = is_done and order.find_model(self._directory_of(order)) is not None
        # The trainer makes a single step, before which its progress would be that of the checkpoint.
        known = None if order.method is ExportMethod.RESUME else task.progress
        progress = None if known is None else known.progress.overall_progress
        return copy_fields(
            ExportView,
            order,
            task,
            export_id=task.task_id,
            progress=100.0 if is_done else progress,
            path=order.path if is_there else None,
            url=order.url if is_there else None,
            waiting_reason=None if why is None else why.text,
            waiting_reason_code=code_of(why),
            failure=task.cause if task.status is TaskStatus.FAILED else None,
        )


def _choose(task_id: str, found: CheckpointList, name: str | None) -> Checkpoint:
    """Return the checkpoint of this name, by default the last complete one."""
    if name is None:
        last = last_complete(found.checkpoints)
        if last is None:
            raise NoCheckpoint(f"{task_id} has no complete checkpoint to export. Save one while it trains.")
        return last
    chosen = next((one for one in found.checkpoints if one.name == name), None)
    if chosen is None:
        names = [one.name for one in found.checkpoints if one.is_complete]
        raise CheckpointNotFound(f"{task_id} has no checkpoint {name!r}.", data={"checkpoints": names})
    if not chosen.is_complete:
        raise CheckpointIncomplete
    return chosen


def _show_saved(order: ExportOrder) -> ExportView:
    """Return the view of a model that the trainer itself has saved."""
    return copy_fields(
        ExportView,
        order,
        export_id=None,
        status=TaskStatus.COMPLETED,
        progress=100.0,
        waiting_reason=None,
        waiting_reason_code=None,
        failure=None,
        created_at=None,
        finished_at=None,
    )
