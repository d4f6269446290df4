"""Begin trainings: check, start, resume, restart. The training loop does the rest."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from api.domain.finding import finding_of
from api.domain.reason import Reason
from api.domain.samples.sample_set import SampleOrder
from api.domain.tasks.labels import LABELS, labels_of
from api.domain.tasks.task import TASK_ID_KINDS, TaskType
from api.domain.tasks.training import (
    NewTask,
    ResumeOptions,
    TaskStatus,
    TrainingRequest,
    TrainingTask,
)
from api.errors import Conflict, Finding, NoCheckpoint, TaskActive, TaskNotFinished
from api.training.check import RequestChecker
from api.training.details import TrainingDetails
from api.training.intake import Intake
from api.training.output.resume_points import (
    change_request,
    choose_checkpoint,
    find_resume_point,
    note_resume,
    plan_resume,
)
from api.training.output.written import TrainingOutput
from api.training.records.task_store import TaskStore
from api.training.view_builders import show_findings
from api.training.views import TaskDetails, Validation
from api.util.clock import Clock
from api.util.text.ids import new_task_id

logger = logging.getLogger(__name__)

#: Placeholder for the task id in the plan of a validated request.
NO_TASK = "TASK_ID"


class TrainingService:
    """Begins trainings, anew or from a checkpoint."""

    def __init__(
        self,
        tasks: TaskStore,
        checker: RequestChecker,
        intake: Intake,
        output: TrainingOutput,
        details: TrainingDetails,
        clock: Clock,
    ) -> None:
        self._tasks = tasks
        self._checker = checker
        self._intake = intake
        self._output = output
        self._details = details
        self._clock = clock

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
            gpus=None
            if errors or checked.plan is None
            else self._intake.plan_gpus(NO_TASK, request, checked.plan, owner),
            estimated_duration=None if checked.plan is None else self._intake.usual_durations().of_plan(checked.plan),
        )

    def start(
        self,
        request: TrainingRequest,
        actor: str,
        idempotency_key: str | None = None,
        owner: str | None = None,
        *,
        restarted_from: str | None = None,
        samples: SampleOrder | None = None,
        secrets: Mapping[str, str] = MappingProxyType({}),
    ) -> TaskDetails:
        """Create a task. It waits for its GPUs, or with `queue` false gets them immediately.

        `samples` and `secrets` are used if the request has none. Raise Invalid with all errors,
        InsufficientGPUs, InsufficientStorage, GPUBusy or QuotaExceeded.
        """
        kind = TaskType.TRAINING
        if request.cache_only or request.rehearsal:
            kind = TaskType.CACHE if request.cache_only else TaskType.REHEARSAL
        task_id = new_task_id(TASK_ID_KINDS[kind], self._clock.now())
        checked = self._checker.check(request, task_id, [] if restarted_from is None else [restarted_from], owner)
        trainer, plan = checked.require()
        self._intake.require(owner, request)
        order = checked.samples or samples
        new = NewTask(
            task_id=task_id,
            trainer=trainer.name,
            request=replace(checked.request, samples=None if order is None else order.request),
            plan=plan,
            samples=order,
            restarted_from=restarted_from,
            idempotency_key=idempotency_key,
            owner=owner,
            kind=kind,
        )
        files = self._output.files(task_id)
        own_secrets = {**secrets, **checked.secrets}
        task = self._intake.create_with_files(new, actor, files, lambda: files.store_secrets(own_secrets))
        logger.info("training submitted", extra={"task_id": task.task_id, "model_type": request.model_type})
        return self._details.get_changed(task.task_id)

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
        found = self._output.find_checkpoints(task)
        checkpoint = choose_checkpoint(task_id, found.checkpoints, options.checkpoint)
        changes = change(task.request)
        # Its automatic samples stay as they are.
        present = replace(task.request, **labels_of(task), samples=None)
        checked = self._checker.check(change_request(present, changes), task_id, [task_id], task.owner)
        _, plan = checked.require()
        if task.status is TaskStatus.COMPLETED and changes.keys() <= set(LABELS):
            raise Conflict(
                f"{task_id} has completed. To continue it, change its config (for example, more epochs). Or restart it."
            )
        self._intake.require(task.owner, checked.request)
        note_resume(task.request, checked.request, checkpoint.name)
        message = Reason.of("will resume from {name}", "to_be_resumed", name=checkpoint.name)
        point = find_resume_point(self._output.trainers[task.trainer], found.run_dir, checkpoint.name, options)
        request = replace(checked.request, samples=task.request.samples)
        labels = {name: value for name, value in changes.items() if name in LABELS}

        def prepare() -> None:
            # The checkpoint may have been deleted meanwhile. A resume that is refused leaves the secrets as they are.
            choose_checkpoint(task_id, self._output.find_checkpoints(task).checkpoints, checkpoint.name)
            files = self._output.files(task_id)
            files.store_secrets({**files.read_secrets(), **checked.secrets} if checked.secrets else {})

        again = (task_id, options, request, plan_resume(plan, point), self._clock.now(), actor, message)
        self._intake.enqueue(task.owner, lambda bound: self._tasks.enqueue_again(*again, bound, prepare, labels))
        return self._details.get_changed(task_id)

    def restart(
        self, task_id: str, actor: str, idempotency_key: str | None = None, owner: str | None = None
    ) -> TaskDetails:
        """Create a new task with the same request. Raise TaskNotFound, TaskNotFinished, or the errors of `start`."""
        task = self._tasks.get(task_id)
        _require_training(task)
        if not task.status.is_finished:
            raise TaskNotFinished.because(f"{task_id} is {task.status}.", task.status)
        # Its own samples count, also if their set was changed or deleted.
        request = replace(task.request, **labels_of(task), samples=None)
        samples, secrets = self._details.find_order(task_id), self._output.files(task_id).read_secrets()
        return self.start(
            request, actor, idempotency_key, owner, restarted_from=task_id, samples=samples, secrets=secrets
        )


def _require_training(task: TrainingTask) -> None:
    if task.kind is TaskType.EXPORT:
        raise Conflict(f"{task.task_id} is an export. Request the export of its checkpoint again.")
    if task.kind is TaskType.SAMPLE:
        raise Conflict(f"{task.task_id} renders samples. Request the samples of its training again.")
