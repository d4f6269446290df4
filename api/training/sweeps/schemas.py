"""Schemas of requests about sweeps and of their answers."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from api.domain.tasks.sweep import EarlyStop
from api.training.sweeps.views import SweepRow
from api.util.http.pagination import Pagination
from api.util.http.validation import Strict
from api.web.schemas import Name, Shown

_EXAMPLE: dict[str, Any] = {
    "request": {"model_type": "toy", "name": "cats", "config": {"epochs": 3}},
    "values": {"/config/optimizer/lr": [0.001, 0.0005]},
    "plan_only": True,
}

Tried = Annotated[list[Any], Field(min_length=1, max_length=1_000)]


class EarlyStopOptions(Strict):
    """The rule by which unpromising trainings are stopped. Omitted values have their defaults."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"after_share": 0.3, "margin": 0.1}})

    after_share: float = Field(
        0.3, ge=0.05, le=0.95, description="share of a training's steps before which it is never stopped"
    )
    margin: float = Field(
        0.1, ge=0.01, le=10, description="how far its loss must be above the median, as a share of the median"
    )

    def rule(self) -> EarlyStop:
        """Return the rule for the services."""
        return EarlyStop(self.after_share, self.margin)


class CreateSweep(Strict):
    """A request with values to try."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": _EXAMPLE})

    request: dict[str, Any] = Field(description="the body of `/training/start`")
    values: dict[str, Tried] = Field(
        min_length=1,
        max_length=16,
        description="lists of values by JSON pointer into `request`, such as `/config/optimizer/lr` or "
        "`/dataset/directories/0/dataset` with `cats@2` and `cats@3`; every combination is one training",
    )
    plan_only: bool = Field(False, description="only show the plan; nothing is created")
    name: Name | None = Field(None, description="names of the trainings begin with it; by default that of `request`")
    early_stop: EarlyStopOptions | None = Field(None, description="stop unpromising trainings; null: none is stopped")


class SweepList(Shown):
    """A page of sweeps, newest first."""

    sweeps: list[SweepRow]
    pagination: Pagination
