"""Admission of trainings to the queue, or directly to their GPUs, within quotas."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from api.db.leases import ResourceHeld
from api.domain.access.read_scope import current_scope
from api.domain.machines.gpu import GPUInfo, NodeGPUInfo
from api.domain.reason import Reason
from api.domain.tasks.durations import UsualDurations
from api.domain.tasks.labels import ListedLabels, labels_of
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import NewTask, TaskStatus, TaskSummary, TrainingPlan, TrainingRequest
from api.domain.tasks.usage import Owner
from api.errors import Conflict, GPUBusy, Invalid, NodeDrained, NotFound, QuotaExceeded
from api.files.task_files import TaskFiles
from api.gpus.busy_error import describe_busy
from api.gpus.offers import list_offers
from api.gpus.service import GPUService
from api.training.queue.claims import AttemptClaims
from api.training.queue.closures import CLOSED_CODES
from api.training.queue.forecast import QueueForecast
from api.training.queue.planner import PassPlanner
from api.training.queue.quota_reasons import BOUNDS
from api.training.queue.quotas import Quotas, queue_is_full, quota_error
from api.training.queue.scheduler import Pass
from api.training.records.task_store import TaskStore
from api.training.records.usage_store import Bound, OverQuota
from api.training.view_builders import show_planned
from api.training.views import PlannedGPUs
from api.util.clock import LAST_SECOND, Clock, time_of
from api.web.idempotency import KEPT_SECONDS

T = TypeVar("T")

#: Number of attempts of a claim that cannot wait, if other tasks take the GPUs first.
CLAIM_TRIES = 16

#: A serial number after that of every existing task.
_LAST = 2**62
#: A time after that of every queued task, including those from before the clock was set back.
_LAST_TIME = time_of(LAST_SECOND)


def preview(
    task_id: str,
    request: TrainingRequest,
    plan: TrainingPlan,
    now: datetime,
    owner: str | None = None,
    kind: TaskType = TaskType.TRAINING,
) -> TaskSummary:
    """Return the summary that a queued task with this request would have."""
    return TaskSummary(
        serial=_LAST,
        task_id=task_id,
        status=TaskStatus.QUEUED,
        model_type=request.model_type,
        trainer=plan.trainer,
        gpus=request.gpus,
        gpu_count=request.gpu_count,
        caches=plan.caches,
        created_at=now,
        queued_at=_LAST_TIME,
        queue_rank=LAST_SECOND,
        retry_not_before=now,
        updated_at=now,
        owner=owner,
        kind=kind,
        **labels_of(request, ListedLabels),
    )


class Intake:
    """The last step of a start. Thread-safe."""

    def __init__(
        self,
        tasks: TaskStore,
        planner: PassPlanner,
        claims: AttemptClaims,
        gpus: GPUService,
        forecast: QueueForecast,
        clock: Clock,
        quotas: Quotas | None,
        wake: Callable[[], None],
    ) -> None:
        """Create the intake. Without `quotas`, tasks have no owners. `wake` triggers the training loop."""
        self._tasks = tasks
        self._planner = planner
        self._claims = claims
        self._gpus = gpus
        self._forecast = forecast
        self._clock = clock
        self._quotas = quotas
        self._wake = wake

    def plan_gpus(self, task_id: str, request: TrainingRequest, plan: TrainingPlan, owner: Owner) -> PlannedGPUs:
        """Return the GPUs that a task with this request would get now. Nothing changes."""
        return show_planned(self._plan_with(preview(task_id, request, plan, self._clock.now(), owner)), task_id)

    def _plan_with(self, task: TaskSummary) -> Pass:
        return self._planner.plan([*self._tasks.queued(), task])

    def usual_durations(self) -> UsualDurations:
        """Return how long completed tasks took, from which the durations of plans are estimated."""
        return UsualDurations(self._tasks.completed_runs())

    def problems(self, owner: Owner, request: TrainingRequest, more: int = 1) -> list[QuotaExceeded]:
        """Return the quotas that would reject this start, or one of this many at once."""
        if self._quotas is None:
            return []
        queue_problems = self._quotas.queue_problems(owner, more) if request.queue else []
        return [*self._quotas.problems(owner, request), *queue_problems]

    def require(self, owner: Owner, request: TrainingRequest) -> None:
        """Raise QuotaExceeded if the owner's quota never permits the request."""
        for problem in [] if self._quotas is None else self._quotas.problems(owner, request):
            raise problem

    def create(
        self, new: NewTask, actor: str, source: str | None = None, verify: Callable[[], object] = lambda: None
    ) -> TaskSummary:
        """Create the task, or return the one with the same idempotency key. Raise GPUBusy or QuotaExceeded.

        `verify` checks the files of the task `source` when none of them can be deleted any more.
        """
        now = self._clock.now()
        if new.keys_since is None:
            new = replace(new, keys_since=self._clock.steady.now() - timedelta(seconds=KEPT_SECONDS))
        if new.request.queue:
            return self.enqueue(new.owner, lambda bound: self._tasks.create(new, now, actor, bound, source, verify))
        first = self._tasks.find_by_key(new.idempotency_key)
        if first is not None:
            return first
        task = preview(new.task_id, new.request, new.plan, now, new.owner, new.kind)
        if not self._start_now(new, task, actor):
            raise self._rejection(task)
        self._wake()
        return self._tasks.get_summary(new.task_id)

    def _start_now(self, new: NewTask, task: TaskSummary, actor: str) -> bool:
        """Create a task that does not wait, with its GPUs. Return False if earlier tasks have a right to them."""
        for _ in range(CLAIM_TRIES):
            decided = self._plan_with(task)
            chosen = next((a for a in decided.assignments if a.task.task_id == task.task_id), None)
            if chosen is None:
                return False
            try:
                attempt = self._claims.create_and_claim(new, task, chosen.gpus, actor)
            except (ResourceHeld, OverQuota, NodeDrained):
                # Another task was faster. Other GPUs may still be free.
                self._gpus.republish()
                continue
            self._gpus.republish()
            return attempt is not None
        return False

    def create_with_files(
        self,
        new: NewTask,
        actor: str,
        files: TaskFiles,
        write: Callable[[], object],
        source: str | None = None,
        verify: Callable[[], object] = lambda: None,
    ) -> TaskSummary:
        """Write the files of a task and create it. Delete them if it is refused, or if another one has its key.

        Raise the errors of `create` and `write`.
        """
        try:
            write()
            created = self.create(new, actor, source, verify)
        except (OSError, Conflict, NotFound, Invalid):
            # For example, the queue is full, or a dataset was deleted in the meantime.
            files.remove()
            raise
        if created.task_id != new.task_id:
            files.remove()
        return created

    def enqueue(self, owner: Owner, put: Callable[[Bound | None], T], more: int = 1) -> T:
        """Add this many tasks of an owner to the queue through `put`, which enforces the limit. Raise QuotaExceeded."""
        bound = None if self._quotas is None else self._quotas.queue_bound(owner)
        try:
            queued = put(bound)
        except OverQuota as error:
            if bound is None:
                raise
            # It counts all new tasks but one.
            raise queue_is_full(bound, error.used + 1 - more, more) from None
        self._wake()
        return queued

    def _rejection(self, task: TaskSummary) -> Conflict:
        reason = self._plan_with(task).why(task.task_id, current_scope.get())
        if reason is not None and reason.said.code in BOUNDS:
            return quota_error(reason)
        return self._busy(task, reason)

    def _busy(self, task: TaskSummary, reason: Reason | None) -> GPUBusy:
        why = "The task lost the GPUs to another task" if reason is None else f"The task {reason.text}"
        if reason is not None and reason.said.code in CLOSED_CODES:
            why = f"The task cannot start now: {reason.text}"
        return GPUBusy(
            f'{why}. Set "queue": true to let it wait.',
            data={
                **describe_busy(self._startable_gpus(), [str(name) for name in task.gpus.references]),
                "estimated_available_time": self._forecast.starts_at(task),
            },
        )

    def _startable_gpus(self) -> list[GPUInfo]:
        """Return all GPUs except those of nodes on which no training can start."""
        state = self._gpus.state
        closed = self._planner.closures.of(list_offers(state))
        return [
            replace(gpu, is_available=gpu.is_available and gpu.uuid not in closed)
            for gpu in self._gpus.get_all_gpus()
            if not isinstance(gpu, NodeGPUInfo) or gpu.node in state.startable
        ]
