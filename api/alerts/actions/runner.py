"""Run the actions of rules, through the same services as requests.

Every step can be repeated safely, except the operator's command.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from api.alerts.evaluation import UNKNOWN
from api.alerts.records.action_store import ActionStore
from api.alerts.records.fact_store import AlertFactStore
from api.domain.alerts.alert_action import GRACE_SECONDS, ActionKind, ActionState, AlertAction
from api.domain.alerts.alert_rule import RuleScope
from api.domain.machines.reading import FaultKind
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import TaskStatus, TaskSummary
from api.errors import Conflict, DatabaseUnavailable, GPUNotFound, TaskNotFound, TaskNotStoppable
from api.gpus.health.judgement import JudgedGPU
from api.gpus.sharing.foreign_use import is_in_use
from api.gpus.state import GPUState
from api.training.output.training_files import TrainingFiles
from api.training.queue.holds import Holds
from api.training.records.task_store import TaskStore
from api.training.stops import TaskStops
from api.util.clock import Clock

#: Seconds between two checks of a started action.
CHECK_SECONDS = 5.0

#: Seconds after which a task that has not stopped counts as a failed action.
STOP_TIMEOUT_SECONDS = 7_200.0

#: Longest time, in seconds, that the idle command waits for the alert's notifications to be delivered.
NOTIFY_TIMEOUT_SECONDS = 300.0


#: Number of remembered actions; the oldest are dropped first.
_MOST = 1_000


#: Seconds for which the result of the database query is cached.
CACHE_SECONDS = 15.0

#: Seconds after a start in which a machine is not idle: its user has just switched it on.
STARTING_SECONDS = 120.0


class IdleCheck:
    """Checks whether this machine is idle: no task, upload or GPU use. Unknown is not idle."""

    def __init__(self, state: Callable[[], GPUState], store: AlertFactStore, node: str, clock: Clock) -> None:
        self._state = state
        self._store = store
        self._node = node
        self._clock = clock
        self._started_at = clock.monotonic()
        self._read_at = float("-inf")
        self._work: str | None = None

    def fact(self) -> float:
        """Return 1 if the machine is idle, 0 if not, NaN if unknown; at most CACHE_SECONDS old."""
        now = self._clock.monotonic()
        if now - self._started_at < STARTING_SECONDS:
            return 0.0
        if now - self._read_at >= CACHE_SECONDS:
            try:
                self._work = self._store.unfinished_work(self._node, self._clock.steady.now())
            except DatabaseUnavailable:
                return UNKNOWN
            self._read_at = now
        if self._work is not None:
            return 0.0
        found = [_find_use(gpu) for gpu in self._state().gpus]
        if any(found):
            return 0.0
        return UNKNOWN if self._is_unknown() else 1.0

    def find_work(self) -> str | None:
        """Return why the machine is not idle now; None if it is. Raises DatabaseUnavailable."""
        work = self._store.unfinished_work(self._node, self._clock.steady.now())
        if work is not None:
            return work
        for gpu in self._state().gpus:
            use = _find_use(gpu)
            if use is not None:
                return use
        return "the use of its GPUs is unknown" if self._is_unknown() else None

    def _is_unknown(self) -> bool:
        state = self._state()
        return state.snapshot.problem is not None or any(_is_unknown(gpu) for gpu in state.gpus)


def _find_use(gpu: JudgedGPU) -> str | None:
    if gpu.task is not None and gpu.task.hold is None:
        return f"{gpu.task.task_id} uses GPU {gpu.reading.index}"
    return f"a program uses GPU {gpu.reading.index}" if is_in_use(gpu.reading) else None


def _is_unknown(gpu: JudgedGPU) -> bool:
    reading = gpu.reading
    if reading.fault is FaultKind.LOST:
        return False
    return gpu.judgement.stale or reading.fault is not None or reading.vitals is None or reading.processes is None


@dataclass(slots=True)
class _Seen:
    at: float
    grace: float


class ActionAges:
    """Remembers when this process first saw each action. After a restart every action counts as new."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def of(self, action: AlertAction) -> float:
        """Return the seconds for which this process has known the action."""
        return self._clock.monotonic() - self._find(action).at

    def has_had_grace(self, action: AlertAction) -> bool:
        """Return whether the grace period, in which users can object, is over."""
        return self.of(action) >= self._find(action).grace

    def _find(self, action: AlertAction) -> _Seen:
        seen = self._seen.get(action.action_id)
        if seen is None:
            planned = (action.not_before - action.created_at).total_seconds()
            # The elapsed part of a grace period is lost with the process that counted it: start it in full.
            grace = planned if action.attempts == 0 else GRACE_SECONDS
            seen = self._seen[action.action_id] = _Seen(self._clock.monotonic(), min(max(grace, 0.0), GRACE_SECONDS))
            if len(self._seen) > _MOST:
                del self._seen[next(iter(self._seen))]
        return seen


@dataclass(frozen=True, slots=True)
class StepResult:
    """The result of one step.

    `again_after` is the number of seconds until the next step; None: the action is over.
    """

    state: ActionState
    result: str | None
    again_after: float | None = None


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    """The outcome of a command. `problem` is None if it succeeded."""

    problem: str | None


class IdleCommand(Protocol):
    """The operator's command."""

    def __call__(self) -> CommandOutcome:
        """Run the command, in bounded time."""
        ...


def _ended(state: ActionState, result: str) -> StepResult:
    return StepResult(state, result)


class IdleCommandRunner:
    """Runs the operator's command for an idle machine."""

    def __init__(self, command: IdleCommand | None, idle: IdleCheck, store: ActionStore, clock: Clock) -> None:
        """Create the runner. `command` is None if the operator has set none."""
        self._command = command
        self._idle = idle
        self._store = store
        self._ages = ActionAges(clock)

    def is_ready(self, action: AlertAction) -> bool:
        """Return whether the grace period of the command is over."""
        return action.state is ActionState.UNDERWAY or self._ages.has_had_grace(action)

    def run_step(self, action: AlertAction, begin: Callable[[], bool]) -> StepResult:
        """Run the next step. `begin` is called right before the command. Raises DatabaseUnavailable."""
        if action.state is ActionState.UNDERWAY:
            lost = "the service stopped while the command ran; the command is not repeated"
            return _ended(ActionState.FAILED, lost)
        if self._command is None:
            return _ended(ActionState.FAILED, "IDLE_COMMAND is no longer set on this machine")
        alert = self._store.find_reason(action)
        if alert is None or alert.acknowledged_by is not None:
            return _ended(ActionState.SKIPPED, "the alert has ended or is acknowledged")
        if self._ages.of(action) < NOTIFY_TIMEOUT_SECONDS and not self._store.is_notified(action.alert_id):
            return StepResult(ActionState.WAITING, "waiting for the notifications to be delivered", CHECK_SECONDS)
        busy = self._idle.find_work()
        if busy is not None:
            return _ended(ActionState.SKIPPED, f"the machine is not idle: {busy}")
        if not begin():
            return StepResult(ActionState.WAITING, None, CHECK_SECONDS)
        ended = self._command()
        if ended.problem is not None:
            return _ended(ActionState.FAILED, ended.problem)
        return _ended(ActionState.DONE, "the command succeeded")


class ActionRunner:
    """Runs one action at a time, by its kind."""

    def __init__(
        self,
        stops: TaskStops,
        trainings: TrainingFiles,
        holds: Holds,
        tasks: TaskStore,
        store: ActionStore,
        idle_command: IdleCommandRunner,
        clock: Clock,
    ) -> None:
        self._stops = stops
        self._trainings = trainings
        self._holds = holds
        self._tasks = tasks
        self._store = store
        self._idle_command = idle_command
        self._ages = ActionAges(clock)

    def is_ready(self, action: AlertAction) -> bool:
        """Return whether the action can run now. The idle command waits until its grace period is over."""
        return action.kind is not ActionKind.IDLE_COMMAND or self._idle_command.is_ready(action)

    def run_step(self, action: AlertAction, begin: Callable[[], bool]) -> StepResult:
        """Run the next step.

        `begin` is called right before a step that must not be repeated. Raises DatabaseUnavailable.
        """
        if action.kind.is_of_task:
            return self._act_on_task(action)
        if action.kind is ActionKind.IDLE_COMMAND:
            return self._idle_command.run_step(action, begin)
        return self._hold(action)

    # -- tasks -------------------------------------------------------------------------------------------------------

    def _act_on_task(self, action: AlertAction) -> StepResult:
        if action.about is None:
            return _ended(ActionState.FAILED, "the alert belongs to no task")
        try:
            task = self._tasks.get_summary(action.about)
        except TaskNotFound:
            return _ended(ActionState.SKIPPED, "the task was deleted")
        if action.acts_for is not None and task.owner != action.acts_for:
            return _ended(ActionState.FAILED, "the task belongs to another user")
        skipped = self._reason_to_skip(action, task) if action.state is ActionState.WAITING else None
        if skipped is not None:
            return _ended(ActionState.SKIPPED, skipped)
        return self._stop(action, task)

    def _reason_to_skip(self, action: AlertAction, task: TaskSummary) -> str | None:
        """Return why a waiting action is no longer needed, or None. Its alert or its target may have changed."""
        if task.status.is_finished:
            return f"the task is already {task.status}"
        alert = self._store.find_reason(action)
        if alert is None:
            return "the alert has ended or is silenced"
        if action.attempt is not None and action.attempt != task.attempts:
            return "the task has started another attempt since"
        gpu = alert.labels.get("gpu_uuid") if alert.scope is RuleScope.GPU else None
        if gpu is not None and gpu not in task.gpu_uuids:
            return "the task no longer runs on the GPU"
        return None

    def _stop(self, action: AlertAction, task: TaskSummary) -> StepResult:
        if task.status.is_finished:
            saved = self._last_checkpoint(task)
            if task.status is not TaskStatus.STOPPED:
                return _ended(ActionState.DONE, f"the task ended by itself: {task.status}; {saved}")
            return _ended(ActionState.DONE, f"stopped; {saved}")
        if self._ages.of(action) > STOP_TIMEOUT_SECONDS:
            return _ended(ActionState.FAILED, f"the task was asked to stop, but is still {task.status}")
        if task.stop is None:
            try:
                self._stops.request_stop(task.task_id, False, None, action.actor)
            except (TaskNotStoppable, TaskNotFound):
                # The task has just ended: the next step reports how.
                return StepResult(action.state, action.result, CHECK_SECONDS)
        return StepResult(ActionState.UNDERWAY, "the task was asked to stop with a checkpoint", CHECK_SECONDS)

    def _last_checkpoint(self, task: TaskSummary) -> str:
        if task.kind is not TaskType.TRAINING:
            return "its results are saved"
        try:
            found = self._trainings.get_checkpoints(task.task_id).checkpoints
        except (OSError, TaskNotFound):
            return "its checkpoints cannot be read"
        complete = [checkpoint.name for checkpoint in found if checkpoint.is_complete]
        return f"its last checkpoint is {complete[-1]}" if complete else "it has no checkpoint"

    # -- holds -------------------------------------------------------------------------------------------------------

    def _hold(self, action: AlertAction) -> StepResult:
        reason = f"{action.actor}, {action.alert_id}"
        try:
            made = self._holds.hold_gpu(action.about or "", reason, action.actor, action.alert_id)
        except (GPUNotFound, Conflict) as error:
            return _ended(ActionState.FAILED, error.detail)
        if made is None and not any(hold.alert_id == action.alert_id for hold in self._holds.list()):
            return _ended(ActionState.SKIPPED, "the alert has ended in the meantime")
        return _ended(ActionState.DONE, "the GPU is held until the alert ends")


def again_at(result: StepResult, now: datetime) -> datetime:
    """Return the time of the next step of an action that is not over."""
    return now + timedelta(seconds=result.again_after or CHECK_SECONDS)
