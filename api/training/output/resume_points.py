"""The checkpoints from which a training can resume."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from api.domain.access.audit import note_change
from api.domain.finding import make_finding, pointer
from api.domain.tasks.training import (
    Checkpoint,
    ResumeOptions,
    ResumePoint,
    TaskStatus,
    TaskSummary,
    TrainingPlan,
    TrainingRequest,
)
from api.errors import CheckpointInUse, FindingText, Invalid, NoCheckpoint
from api.trainers.toml_text import Path as TOMLPath
from api.trainers.toml_text import edit
from api.trainers.trainer import Trainer
from api.training.views import CheckpointList


def find_checkpoints(trainer: Trainer | None, output_dir: Path) -> CheckpointList:
    """Return the checkpoints in the newest run directory of a task. Raise OSError if they cannot be read."""
    run_dir = None if trainer is None else trainer.find_run_dir(output_dir)
    if trainer is None or run_dir is None:
        return CheckpointList(None, ())
    return CheckpointList(str(run_dir), trainer.checkpoints(run_dir))


def last_complete(checkpoints: Sequence[Checkpoint]) -> Checkpoint | None:
    """Return the complete checkpoint from which a resume continues by default, or None.

    After a resume from an older checkpoint, this is not the one with the highest step.
    """
    complete = [found for found in checkpoints if found.is_complete]
    return next((found for found in complete if found.is_latest), complete[-1] if complete else None)


def find_resume_point(
    trainer: Trainer, run_dir: str | None, checkpoint: str | None, options: ResumeOptions | None
) -> ResumePoint | None:
    """Return where an attempt with these options continues after a checkpoint, or None if that is unknown."""
    if run_dir is None or checkpoint is None:
        return None
    point = trainer.find_resume_point(Path(run_dir), checkpoint)
    is_reset = options is not None and options.reset_dataloader
    return replace(point, skipped=0) if point is not None and is_reset else point


def plan_resume(plan: TrainingPlan, point: ResumePoint | None) -> TrainingPlan:
    """Return the plan with the last step of a training that resumes from this point."""
    if point is None or plan.epochs is None or plan.steps_per_epoch is None:
        return plan
    return replace(plan, total_steps=point.total_steps(plan.epochs, plan.steps_per_epoch, plan.max_steps))


def plan_attempt(plan: TrainingPlan, is_resumed: bool, point: ResumePoint | None) -> TrainingPlan:
    """Return the plan with the last step of an attempt, which may begin elsewhere than the one that it was made for."""
    if plan.epochs is None or plan.steps_per_epoch is None or plan.total_steps is None:
        return plan
    whole = plan.epochs * plan.steps_per_epoch
    if plan.max_steps is None and plan.total_steps < whole:
        return plan  # of a version that did not store the limit
    return plan_resume(plan, point) if is_resumed else replace(plan, total_steps=min(plan.total_steps, whole))


def choose_checkpoint(task_id: str, checkpoints: Sequence[Checkpoint], name: str | None) -> Checkpoint:
    """Return the complete checkpoint of this name, by default the last one. Raise NoCheckpoint."""
    complete = [found for found in checkpoints if found.is_complete]
    last = last_complete(complete)
    if name is None and last is not None:
        return last
    for checkpoint in complete:
        if checkpoint.name == name:
            return checkpoint
    names = [checkpoint.name for checkpoint in complete]
    what = "has no complete checkpoint" if name is None else f'has no complete checkpoint "{name}"'
    raise NoCheckpoint(f"{task_id} {what}; restart it instead.", data={"checkpoints": names})


def require_unneeded(
    task: TaskSummary, resumed_from: str | None, checkpoints: Sequence[Checkpoint], checkpoint: Checkpoint
) -> None:
    """Raise CheckpointInUse if an unfinished task may continue from this checkpoint, or is still writing it.

    Its last attempt resumed from `resumed_from`.
    """
    if task.status.is_finished:
        return
    if not checkpoint.is_complete:
        raise CheckpointInUse(f"{checkpoint.name} is not complete: {task.task_id} may still be writing it.")
    newest = max((one for one in checkpoints if one.is_complete), key=lambda one: one.created_at)
    if checkpoint.name == newest.name or checkpoint == last_complete(checkpoints):
        raise CheckpointInUse(f"{checkpoint.name} is the newest checkpoint, from which {task.task_id} would continue.")
    if task.status in (TaskStatus.QUEUED, TaskStatus.STARTING):
        chosen = (None if task.resume is None else task.resume.checkpoint, resumed_from)
        if checkpoint.name in chosen:
            raise CheckpointInUse(f"{task.task_id} is about to resume from {checkpoint.name}.")


def change_request(request: TrainingRequest, changes: Mapping[str, Any]) -> TrainingRequest:
    """Return the changed request. Values for `config` are set in the configuration text if the task has one.

    Raise Invalid if the text cannot be changed.
    """
    text, given = request.config_toml, changes.get("config")
    if text is None or not given or "config_toml" in changes:
        return replace(request, **changes)
    values = dict(_leaves(given))
    removed = [path for path, value in values.items() if value is None]
    fixed = [path for path in removed if len(path) > 1]
    if fixed:
        raise Invalid(
            mistakes=[
                make_finding(
                    f"/config{pointer(*path)}",
                    FindingText(
                        "text_key_fixed",
                        "This cannot be removed from the task's own text.",
                        "Send the whole text as `config_toml`.",
                    ),
                )
                for path in fixed
            ]
        )
    assigned = {path: value for path, value in values.items() if value is not None}
    edited = edit(text, assigned, tuple(str(path[0]) for path in removed))
    if edited is None:
        raise Invalid(
            mistakes=[
                make_finding(
                    "/config",
                    FindingText(
                        "text_values_fixed",
                        "These values cannot be set in the task's own text.",
                        "Send the whole text as `config_toml`.",
                    ),
                )
            ]
        )
    return replace(request, **{**changes, "config": {}, "config_toml": edited})


def _leaves(values: Mapping[str, Any], path: TOMLPath = ()) -> Iterator[tuple[TOMLPath, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name), value


def note_resume(before: TrainingRequest, after: TrainingRequest, checkpoint: str) -> None:
    """Record in the audit what a resume changes in the request, and its checkpoint."""
    old, new = asdict(before), asdict(after)
    changed = [name for name in new if old[name] != new[name]]
    note_change(
        before={name: old[name] for name in changed},
        after={"checkpoint": checkpoint, **{name: new[name] for name in changed}},
    )
