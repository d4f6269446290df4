"""Time series as the API shows them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from api.domain.machines.reading import SourceName


class Metric(StrEnum):
    """The stored metrics, by the names that requests use."""

    UTILIZATION_GPU = "utilization_gpu"
    UTILIZATION_MEMORY = "utilization_memory"
    MEMORY_USED = "memory_used"
    TEMPERATURE_GPU = "temperature_gpu"
    TEMPERATURE_MEMORY = "temperature_memory"
    POWER_USAGE = "power_usage"
    CLOCK_SM = "clock_sm"
    FAN_SPEED = "fan_speed"


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """One step of a series: mean, minimum and maximum. Null if there was no reading."""

    timestamp: datetime  #: start of the step
    value: float | None  #: mean of the step
    min: float | None  #: lowest reading of the step
    max: float | None  #: highest reading of the step

    @staticmethod
    def time_of(unix_seconds: float) -> datetime:
        return datetime.fromtimestamp(unix_seconds, UTC)


@dataclass(frozen=True, slots=True)
class GPUHistoryResponse:
    """One metric of one GPU over time. `step` is in seconds."""

    gpu_id: int | None
    uuid: str | None
    metric: str  #: name as requested
    unit: str  #: unit of the values
    since: datetime  #: start of the first step
    until: datetime  #: end of the last step
    step: float  #: seconds per point
    data: tuple[HistoryPoint, ...]  #: oldest first
    source: SourceName


@dataclass(frozen=True, slots=True)
class NodeGPUHistoryResponse(GPUHistoryResponse):
    """One metric of one GPU over time, in a fleet of several nodes."""

    node: str
