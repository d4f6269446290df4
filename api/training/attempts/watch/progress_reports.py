"""Progress reports from the output of an attempt."""

import math
from dataclasses import replace

from api.domain.reason import Reason, ReasonOrText
from api.domain.tasks.progress import MetricsView, Progress, ProgressReport, ProgressView, SpeedView
from api.domain.tasks.training import Attempt, TaskSummary
from api.util.text.formatting import format_duration


def unobserved_warning(why: ReasonOrText) -> Reason:
    """Return the warning of a task whose attempt no server can observe."""
    return Reason.of(
        "Its state is unknown: {why}. It is not ended, and its GPUs stay assigned.",
        "out_of_sight",
        why=why,
    )


def is_unobserved(task: TaskSummary) -> bool:
    """Return whether a task has the warning that no server can observe its attempt."""
    return task.warning_code is not None and task.warning_code.code == "out_of_sight"


def show_progress(progress: Progress, attempt: Attempt, seconds: float) -> ProgressReport:
    """Return the report of an attempt. NaN becomes None. `seconds` is its training time."""
    if progress.step is None and attempt.resumed_from is not None:
        # While it loads, its step is that of the checkpoint that it resumes from.
        progress = replace(progress, step=step_of(attempt.resumed_from))
    step_seconds = progress.seconds_per_step
    return ProgressReport(
        progress=_show_position(progress, seconds),
        metrics=MetricsView(
            current_loss=_finite(progress.loss),
            best_loss=_finite(progress.best_loss),
            learning_rate=_finite(progress.learning_rate),
            grad_norm=_finite(progress.grad_norm),
            epoch_loss=_finite(progress.epoch_loss),
            best_epoch=progress.best_epoch,
            nan_steps=progress.nan_steps,
        ),
        speed=SpeedView(
            steps_per_second=_round(1 / step_seconds, 4) if step_seconds else None,
            samples_per_second=_round(progress.samples_per_second, 4),
            time_per_step=_round(step_seconds, 4),
        ),
        warnings=tuple(progress.warnings),
        attempt=attempt.uid,
        first_step=progress.first_step,
    )


def _show_position(progress: Progress, seconds: float) -> ProgressView:
    # Without a step, the progress is 0. The amount of work of a cache is unknown.
    is_before = progress.step is None and not progress.only_caches
    overall = 0.0 if is_before else _round(progress.overall_progress, 2)
    eta = None if progress.eta_seconds is None else round(progress.eta_seconds, 1)
    time, time_formatted = _show_time(seconds)
    return ProgressView(
        stage=progress.stage,
        current_epoch=progress.epoch,
        total_epochs=progress.epochs,
        current_step=progress.step,
        total_steps=progress.total_steps,
        steps_per_epoch=progress.steps_per_epoch,
        epoch_progress=_round(progress.epoch_progress, 2),
        overall_progress=overall,
        eta_seconds=eta,
        eta_formatted=None if eta is None else format_duration(eta),
        training_time=time,
        training_time_formatted=time_formatted,
        activity=progress.activity,
        items_cached=progress.items_cached,
    )


def show_ended(progress: Progress, attempt: Attempt, seconds: float) -> ProgressReport:
    """Return the report of an ended attempt, without stage and remaining time."""
    shown = show_progress(progress, attempt, seconds)
    return replace(shown, progress=replace(shown.progress, stage=None, eta_seconds=None, eta_formatted=None))


def with_training_time(report: ProgressReport, seconds: float) -> ProgressReport:
    """Return the report with this training time in seconds."""
    time, time_formatted = _show_time(seconds)
    progress = replace(report.progress, training_time=time, training_time_formatted=time_formatted)
    return replace(report, progress=progress)


def _show_time(seconds: float) -> tuple[float, str]:
    """Return the training time in seconds and as text."""
    seconds = max(0.0, seconds)
    return round(seconds, 1), format_duration(seconds)


def reached(progress: Progress, attempt: Attempt, before: ProgressReport | None) -> Progress:
    """Return the progress of an ended attempt.

    An attempt resumed from the last step had no step left to make. The number of steps may come from `before`, the
    task's stored report.
    """
    resumed = None if attempt.resumed_from is None else step_of(attempt.resumed_from)
    total = progress.total_steps or (None if before is None else before.progress.total_steps)
    if progress.step is not None or resumed is None or total is None or resumed < total:
        return progress
    return replace(progress, step=resumed, total_steps=total)


def step_of(checkpoint: str) -> int | None:
    """Return the step in a checkpoint's name."""
    digits = checkpoint.removeprefix("global_step")
    return int(digits) if digits.isdecimal() else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _round(value: float | None, digits: int) -> float | None:
    return round(value, digits) if value is not None and math.isfinite(value) else None
