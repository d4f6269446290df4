"""Sweeps as the API shows them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.domain.reason import ReasonCode
from api.domain.tasks.sweep import SweepStatus, Variation
from api.domain.tasks.training import TaskStatus
from api.training.views import FindingView, TaskRow


@dataclass(frozen=True, slots=True)
class EarlyStopView:
    """The rule by which unpromising trainings are stopped."""

    after_share: float  #: share of a training's steps before which it is never stopped, from 0 to 1
    margin: float  #: share of the median by which a loss must exceed it
    rule: str  #: the rule in words
    rule_code: ReasonCode  #: code and parameters of the rule, for programs and translations


@dataclass(frozen=True, slots=True)
class SweepRow:
    """A sweep in a list."""

    sweep_id: str
    name: str  #: its trainings' names begin with it
    owner: str | None  #: the user that owns it; null if the service has no keys
    status: SweepStatus  #: follows from the statuses of its trainings
    total: int  #: number of its trainings that have not been deleted
    counts: Mapping[TaskStatus, int]  #: number of trainings by status
    varied: tuple[Variation, ...]  #: the settings that differ, with their values
    early_stop: EarlyStopView | None  #: null: no training is stopped early
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SweepDetails(SweepRow):
    """A sweep with its trainings."""

    trainings: tuple[TaskRow, ...]  #: in the order of the plan; each has its `sweep_values`


@dataclass(frozen=True, slots=True)
class PlannedTraining:
    """One training of a planned sweep."""

    name: str
    values: Mapping[str, Any]  #: its own values by JSON pointer
    valid: bool  #: whether it would be accepted
    gpu_count: int | None  #: null if its errors leave it unknown
    total_steps: int | None  #: null if unknown
    estimated_duration: float | None  #: seconds from its start to its end, as trainings here usually take
    gpu_hours: float | None  #: null if its duration is unknown
    disk_bytes: int | None  #: of its saved models and checkpoints, as far as known; null if nothing is known


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """The plan of a sweep. Totals are null if a part is unknown."""

    valid: bool  #: whether the sweep would be accepted
    errors: tuple[FindingView, ...]  #: each prevents the sweep, and names the trainings that it concerns
    warnings: tuple[FindingView, ...]  #: do not prevent the sweep
    varied: tuple[Variation, ...]  #: the settings that differ, with their values
    trainings: tuple[PlannedTraining, ...]  #: in the order in which they would be queued
    total: int  #: number of trainings
    total_duration: float | None  #: seconds if they run one after another
    gpu_hours: float | None  #: of all trainings together
    disk_bytes: int | None  #: of all trainings together, as far as known; null if nothing is known
    disk_is_minimum: bool  #: whether the size of some part is unknown, so that more is needed
    early_stop: EarlyStopView | None  #: null: no training is stopped early


@dataclass(frozen=True, slots=True)
class SweepResult:
    """A plan or a created sweep."""

    plan: SweepPlan | None  #: null unless `plan_only` was true
    sweep: SweepDetails | None  #: null with `plan_only`
