"""The summary of a task that does not exist yet, for the scheduler."""

from datetime import datetime

from api.domain.task import TaskType
from api.domain.training import TaskStatus, TaskSummary, TrainingPlan, TrainingRequest
from api.util.clock import LAST_SECOND, time_of

#: A serial number after that of every existing task.
_LAST = 2**62
#: A time after that of every queued task, including those from before the clock was set back.
_LAST_TIME = time_of(LAST_SECOND)


def preview(
    task_id: str,
    request: TrainingRequest,
    plan: TrainingPlan,
    now: datetime,
    owner: str | None = None,
    kind: TaskType = TaskType.TRAINING,
) -> TaskSummary:
    """Return the summary that a queued task with this request would have."""
    return TaskSummary(
        serial=_LAST,
        task_id=task_id,
        status=TaskStatus.QUEUED,
        model_type=request.model_type,
        trainer=plan.trainer,
        name=request.name,
        description=request.description,
        priority=request.priority,
        gpus=request.gpus,
        gpu_count=request.gpu_count,
        caches=plan.caches,
        created_at=now,
        queued_at=_LAST_TIME,
        not_before=now,
        started_at=None,
        finished_at=None,
        updated_at=now,
        attempts=0,
        retries=0,
        retries_in_a_row=0,
        restarted_from=None,
        gpu_uuids=(),
        progress=None,
        cause=None,
        stop=None,
        resume=None,
        warning=None,
        warning_code=None,
        owner=owner,
        kind=kind,
        result=None,
    )
