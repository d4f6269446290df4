"""The interface through which trainings use prebuilt caches."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from api.domain.dataset_cache import CacheState, PlannedCache
from api.domain.training import TrainingPlan, TrainingRequest
from api.errors import Finding, ServiceError
from api.trainers.trainer import Trainer
from api.training.dataset_use import UsedDatasets


@dataclass(frozen=True, slots=True)
class CacheQuestion:
    """A request with resolved datasets, its task and owner."""

    request: TrainingRequest
    used: UsedDatasets
    trainer: Trainer
    task_id: str
    owner: str | None
    known_by: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class CacheChoice:
    """How a request uses caches.

    `place` is the task's own dataset directory and the one to use instead.
    """

    cache: PlannedCache | None = None
    place: tuple[str, str] | None = None
    lease: tuple[str, ...] | None = None  #: the caches that it writes or waits for; None: those of the trainer's plan
    mistakes: tuple[Finding, ...] = field(default=())
    problems: tuple[ServiceError, ...] = field(default=())

    def given(self, request: TrainingRequest) -> TrainingRequest:
        """Return the request for the trainer. A complete cache is only read."""
        is_complete = self.cache is not None and self.cache.state is CacheState.COMPLETE and not self.cache.is_made
        return replace(request, trust_cache=True) if is_complete else request

    def finish(self, plan: TrainingPlan) -> TrainingPlan:
        """Return the plan with final directories. A task that only builds a cache has no steps."""
        made = replace(plan, cache=self.cache, caches=plan.caches if self.lease is None else self.lease)
        if self.place is not None:
            own, used = self.place
            made = replace(
                made,
                files={name: text.replace(own, used) for name, text in plan.files.items()},
                command=tuple(part.replace(own, used) for part in plan.command),
            )
        if self.cache is not None and self.cache.is_made:
            made = replace(made, epochs=None, steps_per_epoch=None, total_steps=None, max_steps=None, evaluates=False)
        return made


class CacheUse(Protocol):
    """Finds prebuilt caches."""

    def choose(self, question: CacheQuestion) -> CacheChoice:
        """Return which cache a request builds, uses or waits for."""
        ...


class NoCaches:
    """A service without prebuilt caches."""

    def choose(self, question: CacheQuestion) -> CacheChoice:
        """Return no cache. A request to build one is an error."""
        if not question.request.cache_only:
            return CacheChoice()
        return CacheChoice(mistakes=(Finding("/dataset", "This service does not prebuild caches."),))
