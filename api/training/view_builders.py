"""Build the answers about tasks and attempts, whose classes are in `views`. Pure functions."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from api.domain.access.read_scope import current_scope
from api.domain.finding import codes_of
from api.domain.machines.gpu import GPUInfo
from api.domain.reason import Reason
from api.domain.samples.training_sample import SampledModels
from api.domain.tasks.progress import NO_PROGRESS, ProgressReport, ProgressView
from api.domain.tasks.rehearsal import RehearsalResult
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import Attempt, Checkpoint, TaskStatus, TaskSummary, TrainingRequest, TrainingTask
from api.errors import Finding
from api.gpus.power.views import EnergyView
from api.training.attempts.watch.progress_reports import is_unobserved, with_training_time
from api.training.output.export_order import ExportOrder
from api.training.queue.forecast import Forecast
from api.training.queue.scheduler import Pass
from api.training.views import (
    AttemptView,
    ExportedModel,
    FindingView,
    GPUStats,
    PlannedGPUs,
    StoppedTask,
    StopView,
    TaskDetails,
    TaskProgressView,
    TaskRow,
)
from api.util.copying import copy_fields

GPUs = Mapping[str | None, GPUInfo]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a task waits, and its forecast. Both are None if it does not wait."""

    reason: Reason | None
    forecast: Forecast | None


def show_row(task: TaskSummary, gpus: GPUs, waiting: Waiting, energy: EnergyView | None = None) -> TaskRow:
    """Return the list row of a task. `gpus` are the present GPUs by UUID."""
    return copy_fields(TaskRow, task, **_row(task, gpus, waiting, _known(task, None)), energy=energy)


def _known(task: TaskSummary, live: ProgressReport | None) -> ProgressReport:
    """Return the live or the stored progress, without pace if no server can observe the task."""
    known = live or task.progress or NO_PROGRESS
    return known.without_pace() if task.status.is_active and is_unobserved(task) else known


def _row(task: TaskSummary, gpus: GPUs, waiting: Waiting, report: ProgressReport) -> dict[str, Any]:
    """Return the fields of a row that the task itself does not have under the same name."""
    own = [gpus.get(uuid) for uuid in task.gpu_uuids]
    first = own[0] if own else None
    forecast = waiting.forecast
    return {
        "gpu_id": None if first is None else first.gpu_id,
        "gpu_name": None if first is None else first.name,
        "gpu_ids": tuple(None if gpu is None else gpu.gpu_id for gpu in own),
        "waiting_reason": None if waiting.reason is None else waiting.reason.text,
        "waiting_reason_code": None if waiting.reason is None else waiting.reason.said,
        "queue_position": None if forecast is None else forecast.position,
        "estimated_start": None if forecast is None else forecast.starts_at,
        "failure": task.cause if task.status is TaskStatus.FAILED else None,
        "stop": None if task.stop is None else copy_fields(StopView, task.stop),
        "attempt_count": task.attempts,
        "progress": report.progress,
        "metrics": report.metrics,
        "speed": report.speed,
    }


def show_planned(decided: Pass, task_id: str) -> PlannedGPUs:
    """Return the GPUs that a pass would assign to a task, or why it would wait, as far as the reader may know."""
    chosen = next((found.gpus for found in decided.assignments if found.task.task_id == task_id), ())
    reason = decided.why(task_id, current_scope.get())
    return PlannedGPUs(
        gpu_ids=tuple(gpu.index for gpu in chosen),
        gpu_uuids=tuple(gpu.uuid for gpu in chosen),
        waiting_reason=None if reason is None else reason.text,
        waiting_reason_code=None if reason is None else reason.said,
    )


def show_progress_of(
    task: TaskSummary, attempts: Sequence[Attempt], live: ProgressReport | None, now: datetime, reason: Reason | None
) -> TaskProgressView:
    """Return the progress of a task. `live` is more recent than the stored progress."""
    report = with_time(_known(task, live), attempts, now)
    return copy_fields(
        TaskProgressView,
        task,
        waiting_reason=None if reason is None else reason.text,
        waiting_reason_code=None if reason is None else reason.said,
        updated_at=now if live is not None else task.updated_at,
        progress=report.progress,
        metrics=report.metrics,
        speed=report.speed,
    )


def with_time(report: ProgressReport, attempts: Sequence[Attempt], now: datetime) -> ProgressReport:
    """Return the progress with the total training time of all attempts."""
    known = [_seconds(attempt, report, now) for attempt in attempts if attempt.started_at is not None]
    return with_training_time(report, sum(known)) if known else report


def _seconds(attempt: Attempt, report: ProgressReport, now: datetime) -> float:
    """Return the seconds that an attempt trained, by its supervisor's or its watch's monotonic clock if known."""
    seconds = (attempt.outcome or {}).get("seconds")
    if seconds is None and attempt.ended_at is None and report.attempt == attempt.uid:
        seconds = report.progress.training_time
    if seconds is not None:
        return float(seconds)
    span = (attempt.ended_at or now) - (attempt.started_at or now)
    return max(0.0, span.total_seconds())


def show_details(
    task: TrainingTask,
    attempts: Sequence[Attempt],
    live: ProgressReport | None,
    checkpoints: Sequence[Checkpoint],
    gpus: Sequence[GPUInfo],
    directories: tuple[Path, Path],
    now: datetime,
    waiting: Waiting,
) -> TaskDetails:
    """Return all details of a task. `directories` are those of its output and its log."""
    report = with_time(_known(task, live), attempts, now)
    output, log = directories
    return copy_fields(
        TaskDetails,
        task,
        **_row(task, {gpu.uuid: gpu for gpu in gpus}, waiting, report),
        request=_request(task.request),
        config=read_config(task.request),
        estimated_duration=_duration(task, report.progress, waiting.forecast),
        system_stats=tuple(_stats(gpu) for gpu in gpus if gpu.uuid in task.gpu_uuids and task.status.is_active),
        checkpoints=tuple(checkpoints),
        attempts=tuple(show_attempt(attempt, report) for attempt in attempts),
        warnings=report.warnings,
        output_dir=str(output),
        logs_path=str(log),
        log_lost_bytes=None,
        run_dir=next((attempt.run_dir for attempt in reversed(attempts) if attempt.run_dir is not None), None),
        export=_export(task),
        sampling=_sampling(task),
        samples=None,
        rehearsal=_rehearsal(task),
        stop_seconds=None,
    )


def _sampling(task: TrainingTask) -> SampledModels | None:
    if task.kind is not TaskType.SAMPLE:
        return None
    order = task.request.config["order"]
    return SampledModels(order["task_id"], tuple(order["checkpoints"]), tuple(order["seeds"]), order["strength"])


def _export(task: TrainingTask) -> ExportedModel | None:
    if task.kind is not TaskType.EXPORT:
        return None
    order, is_done = ExportOrder.of_task(task), task.status is TaskStatus.COMPLETED
    return copy_fields(ExportedModel, order, path=order.path if is_done else None, url=order.url if is_done else None)


def _rehearsal(task: TrainingTask) -> RehearsalResult | None:
    if task.kind is not TaskType.REHEARSAL:
        return None
    planned = task.plan.rehearsal
    known = task.result or {"total_steps": None if planned is None else planned.total_steps}
    return RehearsalResult.from_json(known, task.cause if task.status is TaskStatus.FAILED else None)


def _duration(task: TaskSummary, progress: ProgressView, forecast: Forecast | None) -> float | None:
    if forecast is not None:
        return forecast.seconds
    so_far, left = progress.training_time, progress.eta_seconds
    return so_far + left if task.status.is_active and so_far is not None and left is not None else None


def show_stopped(task: TaskDetails) -> StoppedTask:
    """Return a task with a requested stop and the results of the stop."""
    complete = [found for found in task.checkpoints if found.is_complete]
    last = max(complete, key=lambda found: found.created_at, default=None)
    is_saved = last is not None and task.stop is not None and last.created_at >= task.stop.requested_at
    return copy_fields(
        StoppedTask,
        task,
        stopped_at=task.finished_at,
        checkpoint_saved=is_saved if task.status.is_finished else None,
        last_checkpoint=None if last is None else last.name,
        training_time=task.progress.training_time,
    )


def _request(request: TrainingRequest) -> dict[str, Any]:
    """Return the request in the form in which it was sent, so that it can be sent again."""
    shown = asdict(request)
    # The task's kind has the same information.
    del shown["cache_only"], shown["rehearsal"]
    selection = shown.pop("gpus")
    named = list(selection["references"])
    return {
        **shown,
        **({"gpu_ids": named} if named else {"gpu_count": selection["count"]}),
        "min_memory": selection["min_memory"],
    }


def read_config(request: TrainingRequest) -> Mapping[str, Any]:
    """Return the configuration of a request; empty if its text cannot be read."""
    return _read(request.config, request.config_toml)


def read_dataset(request: TrainingRequest) -> Mapping[str, Any]:
    """Return the dataset settings of a request; empty if their text cannot be read."""
    return _read(request.dataset, request.dataset_toml)


def _read(values: Mapping[str, Any], text: str | None) -> Mapping[str, Any]:
    if text is None:
        return values
    try:
        shown: Mapping[str, Any] = _as_json(tomllib.loads(text))
    except tomllib.TOMLDecodeError:
        return {}
    return shown


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_json(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_as_json(inner) for inner in value]
    # JSON integers have at most 64 bits.
    return str(value) if isinstance(value, int) and not -(2**63) <= value < 2**64 else value


def _stats(gpu: GPUInfo) -> GPUStats:
    return copy_fields(
        GPUStats,
        gpu,
        uuid=gpu.uuid or "",
        memory_used=gpu.memory.used,
        memory_total=gpu.memory.total,
        temperature=gpu.temperature.gpu,
    )


def show_attempt(attempt: Attempt, report: ProgressReport) -> AttemptView:
    """Return the view of an attempt. While it runs, its steps come from the task's progress."""
    outcome = attempt.outcome or {}
    first, last = attempt.first_step, attempt.last_step
    if attempt.ended_at is None and report.attempt == attempt.uid and report.first_step is not None:
        first, last = report.first_step, report.progress.current_step
    return copy_fields(
        AttemptView,
        attempt,
        attempt=attempt.uid,
        gpu_ids=attempt.gpu_indices,
        first_step=first,
        last_step=last,
        exit_code=outcome.get("exit_code"),
        signal=outcome.get("signal"),
        failure=attempt.cause,
    )


def show_findings(mistakes: Sequence[Finding]) -> tuple[FindingView, ...]:
    """Return the findings about a request as the API shows them."""
    return tuple(
        FindingView(mistake.pointer, mistake.message, mistake.remedy, *codes_of(mistake)) for mistake in mistakes
    )


def read_findings(views: Iterable[FindingView]) -> Iterator[Finding]:
    """Yield the findings that are shown so."""
    for each in views:
        message, remedy = each.message_code, each.remedy_code
        found = Finding(each.pointer, each.message, each.remedy)
        if message is not None:
            found = replace(found, code=message.code, params=message.params)
        yield found if remedy is None else replace(found, remedy_code=remedy.code)
