"""What a rule does when it fires, besides telling. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ActionKind(StrEnum):
    """What can be done."""

    STOP_WITH_CHECKPOINT = "stop_with_checkpoint"  #: the task saves a checkpoint and ends
    HOLD_GPU = "hold_gpu"  #: nobody gets the GPU while the alert is open
    IDLE_COMMAND = "idle_command"  #: the operator's IDLE_COMMAND is run, once nothing runs or waits

    @property
    def is_of_task(self) -> bool:
        """Whether it is done to a task."""
        return self is ActionKind.STOP_WITH_CHECKPOINT

    @property
    def is_tried_once(self) -> bool:
        """Whether it is not tried again where nobody knows how far it came."""
        return self is ActionKind.IDLE_COMMAND


#: Seconds in which people can still say that they know of it, before the machine is idle no more.
GRACE_SECONDS = 60.0

#: What an alert says of each before it is done.
ANNOUNCED: Mapping[ActionKind, str] = {
    ActionKind.STOP_WITH_CHECKPOINT: "By its rule the task is stopped with a checkpoint.",
    ActionKind.HOLD_GPU: "By its rule nobody gets this GPU until this ends.",
    ActionKind.IDLE_COMMAND: (
        f"By its rule IDLE_COMMAND is run in {GRACE_SECONDS:.0f} s, unless somebody acknowledges this."
    ),
}


class ActionState(StrEnum):
    """How far an action is."""

    WAITING = "waiting"  #: nothing was done yet
    UNDERWAY = "underway"  #: it was begun, and its result is looked for
    DONE = "done"
    SKIPPED = "skipped"  #: there was nothing to be done any more
    FAILED = "failed"

    @property
    def is_over(self) -> bool:
        """Whether nothing more is done."""
        return self not in (ActionState.WAITING, ActionState.UNDERWAY)


@dataclass(frozen=True, slots=True)
class PlannedAction:
    """Something to be done because an alert fires: kept together with that change."""

    action_id: str
    kind: ActionKind
    node: str | None  #: the machine that is to do it; None: any
    about: str | None  #: the id of the task, or the UUID of the GPU
    owner: str | None  #: whom the task belongs to
    acts_for: str | None
    set_by: str | None
    not_before: datetime
    attempt: int | None = None  #: of the task; None: any


@dataclass(frozen=True, slots=True)
class AlertAction:
    """An action as it is kept."""

    action_id: str
    alert_id: str
    number: int  #: of the change by which the alert fired
    kind: ActionKind
    rule_id: str
    node: str | None
    about: str | None
    owner: str | None  #: whom the task belongs to
    acts_for: str | None  #: whose tasks alone the rule may act on
    set_by: str | None  #: who had the rule act
    state: ActionState
    created_at: datetime
    not_before: datetime
    attempts: int
    finished_at: datetime | None
    result: str | None
    attempt: int | None = None  #: of the task, when the condition began; None: any

    @property
    def actor(self) -> str:
        """By whom it is done, as events and the audit say it."""
        return f"rule {self.rule_id}"[:64]


@dataclass(frozen=True, slots=True)
class ActionView:
    """An action as it is shown with its alert."""

    action_id: str
    kind: ActionKind
    about: str | None  #: the id of the task, or the UUID of the GPU
    state: ActionState
    result: str | None
    set_by: str | None  #: who had the rule act
    created_at: datetime
    finished_at: datetime | None


def show_action(action: AlertAction, sees_owner: bool = True) -> ActionView:
    """An action as it is shown; to who does not see its owner's tasks without the task's id."""
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
