"""Progress as the API shows it and the database keeps it."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from api.models.progress import Progress
from api.models.reason import Reason, Words
from api.models.training import Attempt
from api.utils.formatting import format_duration

#: How the warning of a task begins whose attempt nobody here can see.
UNKNOWN = "How it is cannot be seen from here"


def out_of_sight(why: Words) -> Reason:
    """The warning of such a task."""
    return Reason.of(
        "How it is cannot be seen from here: {why}. Neither is it ended nor are its GPUs given away.",
        "out_of_sight",
        why=why,
    )


def show_progress(progress: Progress, attempt: Attempt, seconds: float) -> dict[str, Any]:
    """The parts `progress`, `metrics` and `speed`, as plain JSON; NaN becomes null. `seconds`: how long it has trained.

    `attempt` says whose they are.
    """
    if progress.step is None and attempt.resumed_from is not None:
        # While it loads it is as far as the checkpoint that it goes on from.
        progress = replace(progress, step=step_of(attempt.resumed_from))
    eta = None if progress.eta_seconds is None else round(progress.eta_seconds, 1)
    step_seconds = progress.seconds_per_step
    return {
        "progress": {
            "stage": progress.stage,
            "current_epoch": progress.epoch,
            "total_epochs": progress.epochs,
            "current_step": progress.step,
            "total_steps": progress.total_steps,
            "steps_per_epoch": progress.steps_per_epoch,
            "epoch_progress": _round(progress.epoch_progress, 2),
            # Without a step nothing is done yet; with one and no known end it is not known how much.
            "overall_progress": 0.0 if progress.step is None else _round(progress.overall_progress, 2),
            "eta_seconds": eta,
            "eta_formatted": None if eta is None else format_duration(eta),
            **show_time(seconds),
        },
        "metrics": {
            "current_loss": _finite(progress.loss),
            "best_loss": _finite(progress.best_loss),
            "learning_rate": _finite(progress.learning_rate),
            "grad_norm": _finite(progress.grad_norm),
            "epoch_loss": _finite(progress.epoch_loss),
            "best_epoch": progress.best_epoch,
            "nan_steps": progress.nan_steps,
        },
        "speed": {
            "steps_per_second": _round(1 / step_seconds, 4) if step_seconds else None,
            "samples_per_second": _round(progress.samples_per_second, 4),
            "time_per_step": _round(step_seconds, 4),
        },
        "warnings": list(progress.warnings),
        "attempt": attempt.uid,
    }


def without_pace(shown: Mapping[str, Any]) -> dict[str, Any]:
    """The same of an attempt whose steps do not come, or cannot be seen: its speed and time left are not known."""
    progress = {**shown["progress"], "eta_seconds": None, "eta_formatted": None}
    return {**shown, "progress": progress, "speed": dict.fromkeys(shown["speed"])}


def show_ended(progress: Progress, attempt: Attempt, seconds: float) -> dict[str, Any]:
    """The same of an attempt that is over: it is in no stage, and nothing is left to wait for."""
    shown = show_progress(progress, attempt, seconds)
    shown["progress"].update(stage=None, eta_seconds=None, eta_formatted=None)
    return shown


def show_time(seconds: float) -> dict[str, Any]:
    """How long it has been training, for a program and for a person."""
    seconds = max(0.0, seconds)
    return {"training_time": round(seconds, 1), "training_time_formatted": format_duration(seconds)}


#: What is shown of a task that has said nothing yet.
NOTHING_YET: Mapping[str, Any] = {
    "progress": dict.fromkeys(
        (
            "stage",
            "current_epoch",
            "total_epochs",
            "current_step",
            "total_steps",
            "steps_per_epoch",
            "epoch_progress",
            "overall_progress",
            "eta_seconds",
            "eta_formatted",
            "training_time",
            "training_time_formatted",
        )
    )
    | {"overall_progress": 0.0},
    "metrics": dict.fromkeys(
        ("current_loss", "best_loss", "learning_rate", "grad_norm", "epoch_loss", "best_epoch", "nan_steps")
    ),
    "speed": dict.fromkeys(("steps_per_second", "samples_per_second", "time_per_step")),
    "warnings": [],
}


def step_of(checkpoint: str) -> int | None:
    """The step that a checkpoint is named after."""
    digits = checkpoint.removeprefix("global_step")
    return int(digits) if digits.isdecimal() else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _round(value: float | None, digits: int) -> float | None:
    return round(value, digits) if value is not None and math.isfinite(value) else None
