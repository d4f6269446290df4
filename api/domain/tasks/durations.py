"""How long trainings take, from those that completed."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from api.domain.tasks.training import TrainingPlan

#: The latest runs that count; earlier ones may have run on other machines.
_RUNS = 5


@dataclass(frozen=True, slots=True)
class Load:
    """What the duration of a training's step depends on, besides the machine."""

    model_type: str
    gpu_count: int
    batch_size: int | None  #: examples per step
    settings: str  #: JSON of the settings on which its memory depends

    @classmethod
    def of(cls, model_type: str, gpu_count: int, batch_size: int | None, facts: Mapping[str, Any] | None) -> "Load":
        """Return the load with these facts of memory."""
        return cls(model_type, gpu_count, batch_size, json.dumps(facts, sort_keys=True))

    @classmethod
    def of_plan(cls, plan: TrainingPlan) -> "Load":
        """Return the load of a plan."""
        facts = None if plan.memory is None else asdict(plan.memory.facts)
        return cls.of(plan.model_type, plan.gpu_count, plan.global_batch_size, facts)


@dataclass(frozen=True, slots=True)
class RemainingWork:
    """The steps that a training still takes."""

    load: Load
    steps: int


@dataclass(frozen=True, slots=True)
class CompletedRun:
    """The duration of a completed training."""

    load: Load
    step_seconds: float
    other_seconds: float | None  #: seconds outside of steps: loading, caching, saving; None if unknown


class UsualDurations:
    """The usual durations of trainings, from completed ones with the same settings, else of the same model type."""

    def __init__(self, runs: Iterable[CompletedRun]) -> None:
        """Create it from completed trainings, newest first."""
        self._by_load: dict[Load, list[CompletedRun]] = {}
        self._by_type: dict[tuple[str, int], list[CompletedRun]] = {}
        for run in runs:
            self._by_load.setdefault(run.load, []).append(run)
            self._by_type.setdefault((run.load.model_type, run.load.gpu_count), []).append(run)

    def of_plan(self, plan: TrainingPlan) -> float | None:
        """Return the seconds that a whole training with this plan usually takes, or None if unknown."""
        return None if plan.total_steps is None else self.seconds(RemainingWork(Load.of_plan(plan), plan.total_steps))

    def seconds(self, work: RemainingWork) -> float | None:
        """Return the seconds that this work usually takes, or None if no comparable training has completed."""
        load = work.load
        runs = (self._by_load.get(load) or self._by_type.get((load.model_type, load.gpu_count)) or [])[:_RUNS]
        if not runs:
            return None
        other = [run.other_seconds for run in runs if run.other_seconds is not None]
        return round(work.steps * median(run.step_seconds for run in runs) + (median(other) if other else 0.0), 1)
