"""Time series as the API shows them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from api.domain.reading import SourceName


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

    timestamp: datetime
    value: float | None
    min: float | None
    max: float | None

    @staticmethod
    def time_of(unix_seconds: float) -> datetime:
        return datetime.fromtimestamp(unix_seconds, UTC)


@dataclass(frozen=True, slots=True)
class GPUHistoryResponse:
    """One metric of one GPU over time. `step` is in seconds."""

    gpu_id: int | None
    uuid: str | None
    metric: str
    unit: str
    since: datetime
    until: datetime
    step: float
    data: tuple[HistoryPoint, ...]
    source: SourceName


@dataclass(frozen=True, slots=True)
class NodeGPUHistoryResponse(GPUHistoryResponse):
    """One metric of one GPU over time, in a fleet of several nodes."""

    node: str
