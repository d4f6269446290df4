"""Admission of trainings to the queue, or directly to their GPUs, within quotas."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from api.domain.gpu import GPUInfo, NodeGPUInfo
from api.domain.read_scope import current_scope
from api.domain.reason import Reason
from api.domain.training import NewTask, TaskSummary, TrainingRequest
from api.domain.usage import Owner
from api.errors import Conflict, GPUBusy, QuotaExceeded
from api.gpus.busy import describe_busy
from api.gpus.service import GPUService
from api.training.dispatcher import Dispatcher
from api.training.forecast import QueueForecast
from api.training.preview import preview
from api.training.quota_reasons import BOUNDS
from api.training.quotas import Quotas, queue_is_full, quota_error
from api.training.store import TaskStore
from api.training.usage_store import Bound, OverQuota
from api.util.clock import Clock
from api.web.stored_responses import KEPT_SECONDS

T = TypeVar("T")


class Intake:
    """The last step of a start. Thread-safe."""

    def __init__(
        self,
        tasks: TaskStore,
        dispatcher: Dispatcher,
        gpus: GPUService,
        forecast: QueueForecast,
        clock: Clock,
        quotas: Quotas | None,
    ) -> None:
        """Create the intake. Without `quotas`, tasks have no owners."""
        self._tasks = tasks
        self._dispatcher = dispatcher
        self._gpus = gpus
        self._forecast = forecast
        self._clock = clock
        self._quotas = quotas

    def problems(self, owner: Owner, request: TrainingRequest) -> list[QuotaExceeded]:
        """Return the quotas that would reject this start."""
        if self._quotas is None:
            return []
        queue_problems = self._quotas.queue_problems(owner) if request.queue else []
        return [*self._quotas.problems(owner, request), *queue_problems]

    def require(self, owner: Owner, request: TrainingRequest) -> None:
        """Raise QuotaExceeded if the owner's quota never permits the request."""
        for problem in [] if self._quotas is None else self._quotas.problems(owner, request):
            raise problem

    def create(self, new: NewTask, actor: str) -> TaskSummary:
        """Create the task, or return the one with the same idempotency key. Raise GPUBusy or QuotaExceeded."""
        now = self._clock.now()
        new = replace(new, keys_since=self._clock.steady.now() - timedelta(seconds=KEPT_SECONDS))
        if new.request.queue:
            return self.enqueue(new.owner, lambda bound: self._tasks.create(new, now, actor, bound))
        first = self._tasks.find_by_key(new.idempotency_key)
        if first is not None:
            return first
        task = preview(new.task_id, new.request, new.plan, now, new.owner, new.kind)
        if self._dispatcher.claim_immediately(new, task, actor) is None:
            raise self._rejection(task)
        return self._tasks.get_summary(new.task_id)

    def enqueue(self, owner: Owner, put: Callable[[Bound | None], T]) -> T:
        """Add a task of this owner to the queue through `put`, which enforces the limit. Raise QuotaExceeded."""
        bound = None if self._quotas is None else self._quotas.queue_bound(owner)
        try:
            return put(bound)
        except OverQuota:
            if bound is None:
                raise
            raise queue_is_full(bound) from None

    def _rejection(self, task: TaskSummary) -> Conflict:
        reason = self._dispatcher.plan([*self._tasks.queued(), task]).why(task.task_id, current_scope.get())
        if reason is not None and reason.said.code in BOUNDS:
            return quota_error(reason)
        return self._busy(task, reason)

    def _busy(self, task: TaskSummary, reason: Reason | None) -> GPUBusy:
        why = "lost the GPUs to another task" if reason is None else reason.text
        return GPUBusy(
            f'The task {why}. Set "queue": true to let it wait.',
            data={
                **describe_busy(self._startable_gpus(), [str(name) for name in task.gpus.references]),
                "estimated_available_time": self._forecast.starts_at(task),
            },
        )

    def _startable_gpus(self) -> list[GPUInfo]:
        """Return all GPUs except those of nodes on which no training can start."""
        nodes = self._gpus.state.startable
        return [gpu for gpu in self._gpus.get_all_gpus() if not isinstance(gpu, NodeGPUInfo) or gpu.node in nodes]
