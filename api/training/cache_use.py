"""What trainings need of caches made ahead, as a seam: whoever keeps these implements it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from api.domain.dataset_cache import CacheState, PlannedCache
from api.domain.training import TrainingPlan, TrainingRequest
from api.errors import Mistake, ServiceError
from api.trainers.trainer import Trainer
from api.training.dataset_use import UsedDatasets


@dataclass(frozen=True, slots=True)
class CacheQuestion:
    """A request whose datasets were found, and for whom and which task it is checked."""

    request: TrainingRequest
    used: UsedDatasets
    trainer: Trainer
    task_id: str
    owner: str | None
    known_by: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class CacheChoice:
    """What a request has to do with caches. `place` is the directory of datasets that is used, by the task's own."""

    cache: PlannedCache | None = None
    place: tuple[str, str] | None = None
    lease: tuple[str, ...] | None = None  #: the caches that it writes or waits for; None: those of the trainer's plan
    mistakes: tuple[Mistake, ...] = field(default=())
    problems: tuple[ServiceError, ...] = field(default=())

    def given(self, request: TrainingRequest) -> TrainingRequest:
        """The request as the trainer is asked: a whole cache is only read."""
        is_whole = self.cache is not None and self.cache.state is CacheState.COMPLETE and not self.cache.is_made
        return replace(request, trust_cache=True) if is_whole else request

    def finish(self, plan: TrainingPlan) -> TrainingPlan:
        """The plan with the directories where they will be. Of one that only caches it has no steps."""
        made = replace(plan, cache=self.cache, caches=plan.caches if self.lease is None else self.lease)
        if self.place is not None:
            own, there = self.place
            made = replace(
                made,
                files={name: text.replace(own, there) for name, text in plan.files.items()},
                command=tuple(part.replace(own, there) for part in plan.command),
            )
        if self.cache is not None and self.cache.is_made:
            made = replace(made, epochs=None, steps_per_epoch=None, total_steps=None, max_steps=None, evaluates=False)
        return made


class CacheUse(Protocol):
    """Knows the caches that were made ahead."""

    def choose(self, question: CacheQuestion) -> CacheChoice:
        """Which cache a request makes, uses or waits for."""
        ...


class NoCaches:
    """A service in which nothing is cached ahead."""

    def choose(self, question: CacheQuestion) -> CacheChoice:
        """Chooses none; a request for one is a mistake."""
        if not question.request.cache_only:
            return CacheChoice()
        return CacheChoice(mistakes=(Mistake("/dataset", "Nothing is cached ahead here."),))
