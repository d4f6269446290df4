"""Convert preprocessing tasks to their API views. Pure functions."""

from api.datasets.preprocess_views import PreprocessResult, PreprocessStatus, PreprocessView
from api.domain.progress import NO_PROGRESS, ProgressReport
from api.domain.reason import Reason
from api.domain.training import TaskStatus, TaskSummary, TrainingTask
from api.training.views import StopView

_STATUSES = {
    TaskStatus.QUEUED: PreprocessStatus.QUEUED,
    TaskStatus.STARTING: PreprocessStatus.PROCESSING,
    TaskStatus.RUNNING: PreprocessStatus.PROCESSING,
    TaskStatus.STOPPING: PreprocessStatus.PROCESSING,
    TaskStatus.COMPLETED: PreprocessStatus.COMPLETED,
    TaskStatus.FAILED: PreprocessStatus.FAILED,
    TaskStatus.STOPPED: PreprocessStatus.CANCELLED,
}

#: The task statuses of each preprocessing status.
STATUSES = {shown: tuple(status for status, other in _STATUSES.items() if other is shown) for shown in PreprocessStatus}

#: The current step if the program reports none.
_STEPS = {
    TaskStatus.QUEUED: "waiting",
    TaskStatus.STARTING: "starting",
    TaskStatus.RUNNING: "working",
    TaskStatus.STOPPING: "stopping",
}


def show_preprocess(task: TaskSummary, live: ProgressReport | None, reason: Reason | None) -> PreprocessView:
    """Return the view of a preprocessing task; `live` is more recent than the progress in the database."""
    report = live or task.progress or NO_PROGRESS
    progress, config = report.progress, task.request.config if isinstance(task, TrainingTask) else {}
    given = config.get("input", {})
    is_done = task.status is TaskStatus.COMPLETED
    stop = task.stop
    return PreprocessView(
        task_id=task.task_id,
        status=_STATUSES[task.status],
        work=task.trainer,
        name=task.name,
        description=task.description,
        owner=task.owner,
        dataset=f"{given['dataset']}@{given['version']}" if given else None,
        model_type=task.model_type or None,
        progress=100.0 if is_done else progress.overall_progress,
        current_step=_current_step(task, report),
        items_done=progress.current_step,
        items_total=progress.total_steps,
        eta_seconds=progress.eta_seconds if task.status.is_active else None,
        waiting_reason=None if reason is None else reason.text,
        waiting_reason_code=None if reason is None else reason.said,
        warning=task.warning,
        warnings=report.warnings,
        failure=task.cause if task.status is TaskStatus.FAILED else None,
        stop=None
        if stop is None
        else StopView(stop.requested_at, stop.actor, stop.force, stop.timeout_seconds, stop.rung, stop.keep_lora),
        result=None if task.result is None else PreprocessResult.from_json(task.result),
        created_at=task.created_at,
        started_at=task.started_at,
        finished_at=task.finished_at,
        updated_at=task.updated_at,
        request=config.get("wish", {}),
    )


def _current_step(task: TaskSummary, report: ProgressReport) -> str | None:
    if task.status.is_finished:
        return None
    progress = report.progress
    if task.status is TaskStatus.RUNNING and progress.total_steps and progress.current_step == progress.total_steps:
        return "keeping the result"
    if task.status is TaskStatus.RUNNING and progress.activity:
        return progress.activity
    return _STEPS[task.status]
