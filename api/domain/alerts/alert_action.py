"""Actions of alert rules, besides notifications. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from api.domain.reason import Reason


class ActionKind(StrEnum):
    """The kind of an action."""

    STOP_WITH_CHECKPOINT = "stop_with_checkpoint"  #: the task saves a checkpoint and ends
    HOLD_GPU = "hold_gpu"  #: no task gets the GPU while the alert is active
    IDLE_COMMAND = "idle_command"  #: the operator's IDLE_COMMAND runs once no task runs or waits

    @property
    def is_of_task(self) -> bool:
        """Whether its target is a task."""
        return self is ActionKind.STOP_WITH_CHECKPOINT

    @property
    def is_tried_once(self) -> bool:
        """Whether it is not retried if its progress is unknown."""
        return self is ActionKind.IDLE_COMMAND


#: Seconds in which users can acknowledge the alert before the idle command runs.
GRACE_SECONDS = 60.0

#: Text of an alert about the pending action.
ANNOUNCED: Mapping[ActionKind, Reason] = {
    ActionKind.STOP_WITH_CHECKPOINT: Reason.of(
        "By its rule the task is stopped with a checkpoint.", "action_stops_task"
    ),
    ActionKind.HOLD_GPU: Reason.of("By its rule no task gets this GPU until this ends.", "action_holds_gpu"),
    ActionKind.IDLE_COMMAND: Reason.of(
        "By its rule IDLE_COMMAND is run in {seconds} s, unless a user acknowledges the alert.",
        "action_runs_idle_command",
        seconds=round(GRACE_SECONDS),
    ),
}


class ActionState(StrEnum):
    """The state of an action."""

    WAITING = "waiting"  #: not started
    UNDERWAY = "underway"  #: started; its result is being checked
    DONE = "done"
    SKIPPED = "skipped"  #: no longer necessary
    FAILED = "failed"

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self not in (ActionState.WAITING, ActionState.UNDERWAY)


@dataclass(frozen=True, slots=True)
class PlannedAction:
    """An action to take because an alert fires, stored together with that change."""

    action_id: str
    kind: ActionKind
    node: str | None  #: the node that must act; None: any
    about: str | None  #: task id or GPU UUID
    owner: str | None  #: owner of the task
    acts_for: str | None
    set_by: str | None
    not_before: datetime
    attempt: int | None = None  #: attempt of the task; None: any


@dataclass(frozen=True, slots=True)
class AlertAction:
    """A stored action."""

    action_id: str
    alert_id: str
    number: int  #: number of the change by which the alert fired
    kind: ActionKind
    rule_id: str
    node: str | None
    about: str | None
    owner: str | None  #: owner of the task
    acts_for: str | None  #: the only user whose tasks the rule may act on
    set_by: str | None  #: the user who enabled the action
    state: ActionState
    created_at: datetime
    not_before: datetime
    attempts: int
    finished_at: datetime | None
    result: str | None
    attempt: int | None = None  #: attempt of the task when the condition began; None: any

    @property
    def actor(self) -> str:
        """The actor's name in events and the audit."""
        return f"rule {self.rule_id}"[:64]


@dataclass(frozen=True, slots=True)
class ActionView:
    """An action as shown with its alert."""

    action_id: str
    kind: ActionKind  #: what is done
    about: str | None  #: task id or GPU UUID
    state: ActionState  #: whether it was done
    result: str | None  #: what came of it; null until it has ended
    set_by: str | None  #: the user who enabled the action
    created_at: datetime
    finished_at: datetime | None


def show_action(action: AlertAction, sees_owner: bool = True) -> ActionView:
    """Return the view of an action, without the task id if the reader may not see the owner's tasks."""
    return ActionView(
        action.action_id,
        action.kind,
        None if action.kind.is_of_task and not sees_owner else action.about,
        action.state,
        action.result,
        action.set_by,
        action.created_at,
        action.finished_at,
    )
