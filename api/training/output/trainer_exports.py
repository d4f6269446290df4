"""Exports by the trainer: it resumes a copy of a checkpoint, makes one step, and saves a model."""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from api.domain.reason import Reason
from api.domain.tasks.task import TASK_ID_KINDS, TaskType
from api.domain.tasks.training import NewTask, PlannedExport, ResumeOptions, TrainingPlan, TrainingRequest, TrainingTask
from api.errors import Invalid
from api.files.task_files import TaskStorage
from api.trainers.trainer import SupportsExport
from api.training.check import RequestChecker
from api.training.intake import Intake
from api.training.output.export_order import ExportOrder
from api.training.output.follow_up_tasks import MAX_RETRIES, RETRIED
from api.util.clock import Clock
from api.util.text.ids import new_task_id

logger = logging.getLogger(__name__)


class TrainerExports:
    """Creates their tasks, which need the GPUs of the training. Thread-safe."""

    def __init__(
        self,
        checker: RequestChecker,
        intake: Intake,
        clock: Clock,
        storage: TaskStorage,
    ) -> None:
        self._checker = checker
        self._intake = intake
        self._clock = clock
        self._storage = storage

    def create(
        self,
        training: TrainingTask,
        trainer: SupportsExport,
        planned: PlannedExport,
        before: TrainingTask | None,
        actor: str,
        verify: Callable[[], object],
    ) -> str:
        """Queue an export for the training's owner. Return its id, or that of one that was queued meanwhile.

        It replaces `before`, a finished one. `verify` checks that the checkpoint exists. Raise ExportUnsupported,
        Invalid, InsufficientGPUs, InsufficientStorage, QuotaExceeded, CheckBusy, or OSError.
        """
        request = _request_of(training, trainer, planned)
        task_id = new_task_id(TASK_ID_KINDS[TaskType.EXPORT], self._clock.now())
        checked = self._checker.check(request, task_id, [training.task_id], training.owner)
        try:
            named, plan = checked.require()
        except Invalid as error:
            raise Invalid(_why(error), mistakes=error.mistakes) from None
        self._intake.require(training.owner, checked.request)
        new = NewTask(
            task_id,
            named.name,
            checked.request,
            _plan_of(plan, planned),
            idempotency_key=ExportOrder.by_trainer(planned).key,
            owner=training.owner,
            kind=TaskType.EXPORT,
            # Only the task that it replaces loses the key.
            keys_since=None if before is None else before.created_at + timedelta(milliseconds=1),
            resume=ResumeOptions(planned.checkpoint),
        )
        files = self._storage.files(task_id)
        secrets = {**self._storage.files(training.task_id).read_secrets(), **checked.secrets}
        write = lambda: files.store_secrets(secrets)  # noqa: E731
        created = self._intake.create_with_files(new, actor, files, write, training.task_id, verify)
        if created.task_id == task_id:
            logger.info("export submitted", extra={"task_id": task_id, "training": training.task_id})
        return created.task_id


def _request_of(training: TrainingTask, trainer: SupportsExport, planned: PlannedExport) -> TrainingRequest:
    """Return the training's request with another end, and without what concerns only the training."""
    derived = trainer.one_step(training.request, planned.step)
    return replace(
        derived,
        description=None,
        queue=True,
        max_retries=MAX_RETRIES,
        retry_on=RETRIED,
        keep_last_checkpoints=None,
        regenerate_cache=False,
        notify=None,
        samples=None,
    )


def _plan_of(plan: TrainingPlan, planned: PlannedExport) -> TrainingPlan:
    note = Reason.of(
        "The trainer resumes a copy of {checkpoint} and makes one more step, so that the model is of step {step}."
        " The training and its checkpoint stay as they are.",
        "note_export_step",
        checkpoint=planned.checkpoint,
        step=planned.step,
    )
    return replace(
        plan,
        total_steps=planned.step,
        max_steps=planned.step,
        evaluates=False,
        evaluations=None,
        saved_models=None,
        checkpoints=None,
        notes=(note.text, *plan.notes),
        note_codes=(note.said, *plan.note_codes),
        export=planned,
    )


def _why(error: Invalid) -> str:
    first = next((f"{one.message} {one.remedy or ''}".strip() for one in error.mistakes), error.detail)
    return f"The trainer cannot resume with the training's settings any more: {first}"
