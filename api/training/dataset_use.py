"""The interface through which trainings use named datasets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from api.domain.dataset import PinnedDataset
from api.domain.training import TrainingPlan, TrainingRequest
from api.errors import Finding


@dataclass(frozen=True, slots=True)
class UsedDatasets:
    """A request with resolved datasets, or the errors in how it names them."""

    stored: TrainingRequest  #: as stored with the task: each dataset named by its manifest
    given: TrainingRequest  #: for the trainer: each dataset as a directory
    pins: tuple[PinnedDataset, ...] = ()
    mistakes: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()  #: changes since the task was created
    pointers: Mapping[str, str] = field(default_factory=dict)  #: pointers to show instead, by pointer to a directory
    moved: Mapping[str, str] = field(default_factory=dict)  #: final directories, by current directory
    beside: str | None = None  #: other training data than dataset versions, as text; None: none

    def point(self, findings: Sequence[Finding]) -> tuple[Finding, ...]:
        """Return the trainer's findings with pointers into the user's request."""
        # Findings about a dataset that was not resolved would only distract.
        unresolved = [mistake.pointer.removesuffix("/dataset") or mistake.pointer for mistake in self.mistakes]
        shown = [each for each in findings if not any(_is_below(each.pointer, pointer) for pointer in unresolved)]
        return tuple(replace(each, pointer=self._moved_pointer(each.pointer)) for each in shown)

    def _moved_pointer(self, pointer: str) -> str:
        return next((to + pointer[len(at) :] for at, to in self.pointers.items() if _is_below(pointer, at)), pointer)

    def finish(self, plan: TrainingPlan) -> TrainingPlan:
        """Return the plan with final directories and with the dataset versions in use."""
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
    """Resolves the datasets that requests name."""

    def use(self, request: TrainingRequest, task_id: str, known_by: Sequence[str] = ()) -> UsedDatasets:
        """Resolve the datasets of a request for this task, including manifests used by the tasks in `known_by`."""
        ...


class NoDatasets:
    """A service without named datasets."""

    def use(self, request: TrainingRequest, task_id: str, known_by: Sequence[str] = ()) -> UsedDatasets:
        """Return the request unchanged."""
        return UsedDatasets(request, request)
