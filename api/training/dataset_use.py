"""What trainings need of named datasets, as a seam: whoever keeps these implements it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from api.domain.dataset import PinnedDataset
from api.domain.training import TrainingPlan, TrainingRequest
from api.errors import Mistake


@dataclass(frozen=True, slots=True)
class UsedDatasets:
    """A request whose named datasets were found, or the mistakes in how it names them."""

    kept: TrainingRequest  #: as the task keeps it: each dataset named by its manifest
    given: TrainingRequest  #: as the trainer is asked: each a directory
    pins: tuple[PinnedDataset, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    notes: tuple[str, ...] = ()  #: what has changed since the task began
    pointers: Mapping[str, str] = field(default_factory=dict)  #: where a mistake in a directory is shown instead
    moved: Mapping[str, str] = field(default_factory=dict)  #: where directories will be, by where they are now
    beside: str | None = None  #: what else than versions of datasets it trains on, in words; None: nothing

    def point(self, findings: Sequence[Mistake]) -> tuple[Mistake, ...]:
        """The trainer's findings, pointing to what the request itself says."""
        # Of a directory whose dataset was not found nothing else is worth being said.
        wrong = [mistake.pointer.removesuffix("/dataset") or mistake.pointer for mistake in self.mistakes]
        shown = [each for each in findings if not any(_is_below(each.pointer, pointer) for pointer in wrong)]
        return tuple(replace(each, pointer=self._moved_pointer(each.pointer)) for each in shown)

    def _moved_pointer(self, pointer: str) -> str:
        return next((to + pointer[len(at) :] for at, to in self.pointers.items() if _is_below(pointer, at)), pointer)

    def finish(self, plan: TrainingPlan) -> TrainingPlan:
        """The plan with the directories where they will be, and with what is used of datasets."""
        if not self.pins:
            return plan
        return replace(
            plan,
            files={name: self._move(text) for name, text in plan.files.items()},
            command=tuple(map(self._move, plan.command)),
            caches=tuple(sorted(map(self._move, plan.caches))),
            notes=(*plan.notes, *self.notes),
            datasets=self.pins,
        )

    def _move(self, text: str) -> str:
        for now, then in self.moved.items():
            text = text.replace(now, then)
        return text


def _is_below(pointer: str, above: str) -> bool:
    return pointer == above or pointer.startswith(f"{above}/")


class DatasetUse(Protocol):
    """Finds the datasets that requests name."""

    def use(self, request: TrainingRequest, task_id: str, known_by: Sequence[str] = ()) -> UsedDatasets:
        """The datasets of a request for this task; also those that the tasks of `known_by` use, by their manifest."""
        ...


class NoDatasets:
    """A service without named datasets."""

    def use(self, request: TrainingRequest, task_id: str, known_by: Sequence[str] = ()) -> UsedDatasets:
        """The request as it is."""
        return UsedDatasets(request, request)
