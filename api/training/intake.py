"""Lets trainings into the queue, or to their GPUs at once, as far as GPUs and quotas permit."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from api.domain.gpu import GPUInfo, NodeGPUInfo
from api.domain.reason import Reason
from api.domain.sight import current_sight
from api.domain.training import NewTask, TaskSummary, TrainingRequest
from api.domain.usage import Owner
from api.errors import Conflict, GPUBusy, QuotaExceeded
from api.gpus.busy import describe_busy
from api.gpus.service import GPUService
from api.training.dispatcher import Dispatcher
from api.training.forecast import QueueForecast
from api.training.preview import preview
from api.training.quota_words import BOUNDS
from api.training.quotas import Quotas, queue_is_full, refusal
from api.training.store import TaskStore
from api.training.usage_store import Bound, OverQuota
from api.util.clock import Clock
from api.web.kept_answer_models import KEPT_SECONDS

T = TypeVar("T")


class Intake:
    """The last step of a start. Any thread may ask."""

    def __init__(
        self,
        tasks: TaskStore,
        dispatcher: Dispatcher,
        gpus: GPUService,
        forecast: QueueForecast,
        clock: Clock,
        quotas: Quotas | None,
    ) -> None:
        """`quotas` None: tasks belong to nobody."""
        self._tasks = tasks
        self._dispatcher = dispatcher
        self._gpus = gpus
        self._forecast = forecast
        self._clock = clock
        self._quotas = quotas

    def problems(self, owner: Owner, request: TrainingRequest) -> list[QuotaExceeded]:
        """What a start of this would be refused for, besides what is wrong with the request."""
        if self._quotas is None:
            return []
        places = self._quotas.queue_problems(owner) if request.queue else []
        return [*self._quotas.problems(owner, request), *places]

    def require(self, owner: Owner, request: TrainingRequest) -> None:
        """Lets through what the owner's quota permits, or will permit. Raises QuotaExceeded."""
        for problem in [] if self._quotas is None else self._quotas.problems(owner, request):
            raise problem

    def create(self, new: NewTask, actor: str) -> TaskSummary:
        """Makes the task; one that was made with the same idempotency key is given again.

        Raises GPUBusy, QuotaExceeded.
        """
        now = self._clock.now()
        new = replace(new, keys_since=self._clock.steady.now() - timedelta(seconds=KEPT_SECONDS))
        if new.request.queue:
            return self.enqueue(new.owner, lambda bound: self._tasks.create(new, now, actor, bound))
        first = self._tasks.find_by_key(new.idempotency_key)
        if first is not None:
            return first
        task = preview(new.task_id, new.request, new.plan, now, new.owner, new.kind)
        if self._dispatcher.claim_at_once(new, task, actor) is None:
            raise self._refusal(task)
        return self._tasks.get_summary(new.task_id)

    def enqueue(self, owner: Owner, put: Callable[[Bound | None], T]) -> T:
        """Puts a task of this owner into the queue by `put`, which takes the bound on it. Raises QuotaExceeded."""
        bound = None if self._quotas is None else self._quotas.queue_bound(owner)
        try:
            return put(bound)
        except OverQuota:
            if bound is None:
                raise
            raise queue_is_full(bound) from None

    def _refusal(self, task: TaskSummary) -> Conflict:
        reason = self._dispatcher.plan([*self._tasks.queued(), task]).why(task.task_id, current_sight.get())
        if reason is not None and reason.said.code in BOUNDS:
            return refusal(reason)
        return self._busy(task, reason)

    def _busy(self, task: TaskSummary, reason: Reason | None) -> GPUBusy:
        why = "was not the first to ask for them" if reason is None else reason.text
        return GPUBusy(
            f'The task {why}. With "queue": true it waits for them.',
            data={
                **describe_busy(self._startable_gpus(), [str(name) for name in task.gpus.references]),
                "estimated_available_time": self._forecast.starts_at(task),
            },
        )

    def _startable_gpus(self) -> list[GPUInfo]:
        """All GPUs but those of machines on which no training can be started."""
        nodes = self._gpus.state.startable
        return [gpu for gpu in self._gpus.get_all_gpus() if not isinstance(gpu, NodeGPUInfo) or gpu.node in nodes]
