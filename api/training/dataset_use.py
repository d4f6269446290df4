"""The interface through which trainings use named datasets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from api.domain.datasets.dataset import PinnedDataset
from api.domain.datasets.dataset_cache import CacheState, PlannedCache
from api.domain.finding import make_finding
from api.domain.reason import Reason
from api.domain.tasks.sweep import is_below
from api.domain.tasks.training import TrainingPlan, TrainingRequest
from api.errors import Finding, FindingText, ServiceError
from api.trainers.trainer import Trainer


@dataclass(frozen=True, slots=True)
class UsedDatasets:
    """A request with resolved datasets, or the errors in how it names them."""

    stored: TrainingRequest  #: as stored with the task: each dataset named by its manifest
    given: TrainingRequest  #: for the trainer: each dataset as a directory
    pins: tuple[PinnedDataset, ...] = ()
    mistakes: tuple[Finding, ...] = ()
    notes: tuple[Reason, ...] = ()  #: changes since the task was created
    pointers: Mapping[str, str] = field(default_factory=dict)  #: pointers to show instead, by pointer to a directory
    moved: Mapping[str, str] = field(default_factory=dict)  #: final directories, by current directory
    beside: Reason | None = None  #: other training data than dataset versions; None: none

    def point(self, findings: Sequence[Finding]) -> tuple[Finding, ...]:
        """Return the trainer's findings with pointers into the user's request."""
        # Findings about a dataset that was not resolved would only distract.
        unresolved = [mistake.pointer.removesuffix("/dataset") or mistake.pointer for mistake in self.mistakes]
        shown = [each for each in findings if not any(is_below(each.pointer, pointer) for pointer in unresolved)]
        return tuple(replace(each, pointer=self._moved_pointer(each.pointer)) for each in shown)

    def _moved_pointer(self, pointer: str) -> str:
        return next((to + pointer[len(at) :] for at, to in self.pointers.items() if is_below(pointer, at)), pointer)

    def finish(self, plan: TrainingPlan) -> TrainingPlan:
        """Return the plan with final directories and with the dataset versions in use."""
        if not self.pins:
            return plan
        return replace(
            plan,
            files={name: self._move(text) for name, text in plan.files.items()},
            command=tuple(map(self._move, plan.command)),
            caches=tuple(sorted(map(self._move, plan.caches))),
            notes=(*plan.notes, *(note.text for note in self.notes)),
            note_codes=(*plan.note_codes, *(note.said for note in self.notes)),
            datasets=self.pins,
        )

    def _move(self, text: str) -> str:
        for now, then in self.moved.items():
            text = text.replace(now, then)
        return text


class DatasetUse(Protocol):
    """Resolves the datasets that requests name."""

    def use(self, request: TrainingRequest, task_id: str, known_by: Sequence[str] = ()) -> UsedDatasets:
        """Resolve the datasets in the request of this task.

        The request may also name manifests that the tasks in `known_by` use.
        """


class NoDatasets:
    """A service without named datasets."""

    def use(self, request: TrainingRequest, task_id: str, known_by: Sequence[str] = ()) -> UsedDatasets:
        """Return the request unchanged."""
        return UsedDatasets(request, request)


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


class NoCaches:
    """A service without prebuilt caches."""

    def choose(self, question: CacheQuestion) -> CacheChoice:
        """Return no cache. A request to build one is an error."""
        if not question.request.cache_only:
            return CacheChoice()
        return CacheChoice(
            mistakes=(
                make_finding("/dataset", FindingText("caches_unsupported", "This service does not prebuild caches.")),
            )
        )
