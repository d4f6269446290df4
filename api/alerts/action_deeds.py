"""Does what rules ask for, by the same services as requests; each deed may be repeated without harm but the command."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from api.alerts.action_ages import ActionAges
from api.alerts.action_store import ActionStore
from api.alerts.idle import IdleLook
from api.domain.alert_action import ActionKind, ActionState, AlertAction
from api.domain.alert_rule import RuleScope
from api.domain.task import TaskType
from api.domain.training import TaskStatus, TaskSummary
from api.errors import Conflict, GPUNotFound, TaskNotFound, TaskNotStoppable
from api.training.holds import Holds
from api.training.service import TrainingService
from api.training.store import TaskStore
from api.training.task_stops import TaskStops
from api.util.clock import Clock

#: Seconds between two looks at what was begun.
LOOK_SECONDS = 5.0

#: Seconds within which a task that was asked to stop has to end.
STOPPED_WITHIN = 7_200.0

#: For so long people are told of it before the idle command is run.
TOLD_WITHIN = 300.0


@dataclass(frozen=True, slots=True)
class DeedResult:
    """How far a deed is. `again_after`: seconds until it is looked at again; None: it is over."""

    state: ActionState
    result: str | None
    again_after: float | None = None


@dataclass(frozen=True, slots=True)
class CommandEnd:
    """How a command ended. `problem` None: well."""

    problem: str | None


class IdleCommand(Protocol):
    """The operator's command."""

    def __call__(self) -> CommandEnd:
        """Runs it, in bounded time."""
        ...


def _over(state: ActionState, result: str) -> DeedResult:
    return DeedResult(state, result)


class ActionDeeds:
    """The deeds, by kind."""

    def __init__(
        self,
        stops: TaskStops,
        training: TrainingService,
        holds: Holds,
        tasks: TaskStore,
        store: ActionStore,
        idle: IdleLook,
        command: IdleCommand | None,
        clock: Clock,
    ) -> None:
        """`command` None: the operator has set none."""
        self._stops = stops
        self._training = training
        self._holds = holds
        self._tasks = tasks
        self._store = store
        self._idle = idle
        self._command = command
        self._clock = clock
        self._ages = ActionAges(clock)

    def is_for_here(self, action: AlertAction) -> bool:
        """Return whether this server can do it now: the idle command waits for its time of grace."""
        if action.kind is not ActionKind.IDLE_COMMAND:
            return True
        return action.state is ActionState.UNDERWAY or self._ages.has_had_grace(action)

    def go_on(self, action: AlertAction, begin: Callable[[], bool]) -> DeedResult:
        """Does the next step. `begin` is called right before what must not be repeated. Raises DatabaseUnavailable."""
        if action.kind.is_of_task:
            return self._do_to_task(action)
        if action.kind is ActionKind.IDLE_COMMAND:
            return self._run_command(action, begin)
        return self._hold(action)

    # -- tasks -------------------------------------------------------------------------------------------------------

    def _do_to_task(self, action: AlertAction) -> DeedResult:
        if action.about is None:
            return _over(ActionState.FAILED, "the alert is about no task")
        try:
            task = self._tasks.get_summary(action.about)
        except TaskNotFound:
            return _over(ActionState.SKIPPED, "the task is not there any more")
        if action.acts_for is not None and task.owner != action.acts_for:
            return _over(ActionState.FAILED, "the task belongs to somebody else")
        why_not = self._why_not(action, task) if action.state is ActionState.WAITING else None
        if why_not is not None:
            return _over(ActionState.SKIPPED, why_not)
        return self._stop(action, task)

    def _why_not(self, action: AlertAction, task: TaskSummary) -> str | None:
        """Why an action that has not begun is not done any more: its reason or its target has changed since."""
        if task.status.is_finished:
            return f"the task is {task.status} already"
        alert = self._store.find_reason(action)
        if alert is None:
            return "the alert has ended, or is silenced"
        if action.attempt is not None and action.attempt != task.attempts:
            return "another attempt of the task has begun since"
        gpu = alert.labels.get("gpu_uuid") if alert.scope is RuleScope.GPU else None
        if gpu is not None and gpu not in task.gpu_uuids:
            return "the task is not on the GPU any more"
        return None

    def _stop(self, action: AlertAction, task: TaskSummary) -> DeedResult:
        if task.status.is_finished:
            return self._tell_end(action, task)
        if self._ages.of(action) > STOPPED_WITHIN:
            return _over(ActionState.FAILED, f"it was asked to stop, and is {task.status} still")
        if task.stop is None:
            try:
                self._stops.ask(task.task_id, False, None, action.actor)
            except (TaskNotStoppable, TaskNotFound):
                # It has ended in this moment: the next look tells how.
                return DeedResult(action.state, action.result, LOOK_SECONDS)
        return DeedResult(ActionState.UNDERWAY, "asked to stop with a checkpoint", LOOK_SECONDS)

    def _tell_end(self, action: AlertAction, task: TaskSummary) -> DeedResult:
        saved = self._last_checkpoint(task)
        if task.status is not TaskStatus.STOPPED:
            return _over(ActionState.DONE, f"it has ended by itself: {task.status}; {saved}")
        return _over(ActionState.DONE, f"stopped; {saved}")

    def _last_checkpoint(self, task: TaskSummary) -> str:
        if task.kind is not TaskType.TRAINING:
            return "what it had done is kept"
        try:
            found = self._training.get_checkpoints(task.task_id).checkpoints
        except (OSError, TaskNotFound):
            return "its checkpoints cannot be read from here"
        whole = [checkpoint.name for checkpoint in found if checkpoint.is_complete]
        return f"its last checkpoint is {whole[-1]}" if whole else "it has no checkpoint"

    # -- holds -------------------------------------------------------------------------------------------------------

    def _hold(self, action: AlertAction) -> DeedResult:
        reason = f"{action.actor}, {action.alert_id}"
        try:
            made = self._holds.hold_gpu(action.about or "", reason, action.actor, action.alert_id)
        except (GPUNotFound, Conflict) as error:
            return _over(ActionState.FAILED, error.detail)
        if made is None and not any(hold.alert_id == action.alert_id for hold in self._holds.list()):
            return _over(ActionState.SKIPPED, "the alert has ended meanwhile")
        return _over(ActionState.DONE, "nobody gets the GPU until the alert ends")

    # -- the operator's command ----------------------------------------------------------------------------------------

    def _run_command(self, action: AlertAction, begin: Callable[[], bool]) -> DeedResult:
        if action.state is ActionState.UNDERWAY:
            lost = "the service ended while the command ran; it is not repeated"
            return _over(ActionState.FAILED, lost)
        if self._command is None:
            return _over(ActionState.FAILED, "IDLE_COMMAND is not set on this machine any more")
        alert = self._store.find_reason(action)
        if alert is None or alert.acknowledged_by is not None:
            return _over(ActionState.SKIPPED, "the alert has ended, or somebody knows of it")
        if self._ages.of(action) < TOLD_WITHIN and not self._store.is_told(action.alert_id):
            return DeedResult(ActionState.WAITING, "people are told first", LOOK_SECONDS)
        why = self._idle.why_not()
        if why is not None:
            return _over(ActionState.SKIPPED, f"the machine is not idle: {why}")
        if not begin():
            return DeedResult(ActionState.WAITING, None, LOOK_SECONDS)
        ended = self._command()
        if ended.problem is not None:
            return _over(ActionState.FAILED, ended.problem)
        return _over(ActionState.DONE, "the command has ended well")


def again_at(result: DeedResult, now: datetime) -> datetime:
    """When a deed that goes on is looked at again."""
    return now + timedelta(seconds=result.again_after or LOOK_SECONDS)
