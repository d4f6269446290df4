"""Does what rules ask for, by the same services as requests; each deed may be repeated without harm but the command."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from api.alerts.action_ages import ActionAges
from api.alerts.action_store import ActionStore
from api.alerts.fact_store import AlertFactStore
from api.alerts.idle import IdleLook
from api.domain.alert_action import ActionKind, ActionState, AlertAction
from api.domain.alert_rule import RuleScope
from api.domain.task import TaskType
from api.domain.training import TaskStatus, TaskSummary
from api.errors import Conflict, GPUNotFound, TaskNotFound, TaskNotStoppable, Unavailable
from api.training.checkpoint_saving import CheckpointSaving
from api.training.holds import Holds
from api.training.service import TrainingService
from api.training.store import TaskStore
from api.training.task_stops import TaskStops
from api.util.clock import Clock

#: Seconds between two looks at what was begun, and between two tries of what could not be.
LOOK_SECONDS, TRY_SECONDS = 5.0, 15.0

#: For so long it is tried to ask a trainer, and looked for what it was asked for.
ASKED_FOR = 600.0
STOPPED_WITHIN, SAVED_WITHIN = 7_200.0, 3_600.0

#: For so long people are told of it before the idle command is run.
TOLD_WITHIN = 300.0

#: Seconds after which any server does what the one that sees the task's files has not done.
_LATE_SECONDS = 60.0


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
        saving: CheckpointSaving,
        holds: Holds,
        tasks: TaskStore,
        facts: AlertFactStore,
        store: ActionStore,
        idle: IdleLook,
        command: IdleCommand | None,
        is_watched_here: Callable[[str], bool],
        clock: Clock,
    ) -> None:
        """`command` None: the operator has set none. `is_watched_here` says whether this server sees a task's files."""
        self._stops = stops
        self._training = training
        self._saving = saving
        self._holds = holds
        self._tasks = tasks
        self._facts = facts
        self._store = store
        self._idle = idle
        self._command = command
        self._is_watched_here = is_watched_here
        self._clock = clock
        self._ages = ActionAges(clock)

    def is_for_here(self, action: AlertAction) -> bool:
        """Whether this server is the one to do it; what nobody does within a minute, anybody tries."""
        age = self._ages.of(action)
        if action.kind is ActionKind.IDLE_COMMAND:
            return action.state is ActionState.UNDERWAY or self._ages.has_had_grace(action)
        if action.kind is not ActionKind.SAVE_CHECKPOINT or action.about is None:
            return True
        return age > _LATE_SECONDS or self._is_watched_here(action.about)

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
        if action.kind is ActionKind.STOP_WITH_CHECKPOINT:
            return self._stop(action, task)
        return self._save(action, task)

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

    def _save(self, action: AlertAction, task: TaskSummary) -> DeedResult:
        if action.state is ActionState.UNDERWAY and self._has_saved(action, task.task_id):
            return _over(ActionState.DONE, f"saved; {self._last_checkpoint(task)}")
        if task.status.is_finished:
            return _over(ActionState.FAILED, f"the task is {task.status}, and has saved none since")
        age = self._ages.of(action)
        if action.state is ActionState.UNDERWAY:
            if age > SAVED_WITHIN:
                return _over(ActionState.FAILED, "it was asked for a checkpoint, and has saved none")
            return DeedResult(ActionState.UNDERWAY, action.result, LOOK_SECONDS)
        self._ages.note_checkpoint(action, self._last_checkpoint_id(task.task_id))
        try:
            self._saving.save(task.task_id, action.actor)
        except (Conflict, Unavailable) as error:
            if age > ASKED_FOR:
                return _over(ActionState.FAILED, error.detail)
            return DeedResult(ActionState.WAITING, error.detail, TRY_SECONDS)
        return DeedResult(ActionState.UNDERWAY, "asked for a checkpoint", LOOK_SECONDS)

    def _has_saved(self, action: AlertAction, task_id: str) -> bool:
        before = self._ages.checkpoint_before(action)
        if before is not None:
            return self._last_checkpoint_id(task_id) > before
        # The service has begun again since it asked.
        at = self._facts.headway([task_id])[task_id].checkpoint_at
        return at is not None and at > action.created_at.timestamp()

    def _last_checkpoint_id(self, task_id: str) -> int:
        return self._facts.headway([task_id])[task_id].checkpoint_id or 0

    # -- holds -------------------------------------------------------------------------------------------------------

    def _hold(self, action: AlertAction) -> DeedResult:
        reason = f"{action.actor}, {action.alert_id}"
        try:
            if action.kind is ActionKind.HOLD_QUEUE:
                made = self._holds.hold_queue(reason, action.actor, action.alert_id)
            else:
                made = self._holds.hold_gpu(action.about or "", reason, action.actor, action.alert_id)
        except (GPUNotFound, Conflict) as error:
            return _over(ActionState.FAILED, error.detail)
        if made is None and not any(hold.alert_id == action.alert_id for hold in self._holds.list()):
            return _over(ActionState.SKIPPED, "the alert has ended meanwhile")
        what = "the queue is held" if action.kind is ActionKind.HOLD_QUEUE else "nobody gets the GPU"
        return _over(ActionState.DONE, f"{what} until the alert ends")

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
