"""A time series as the API shows it."""

from dataclasses import dataclass
from datetime import UTC, datetime

from api.models.reading import SourceName


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """One step of a series: mean, lowest and highest value; null where nothing was read."""

    timestamp: datetime
    value: float | None
    min: float | None
    max: float | None

    @staticmethod
    def time_of(unix_seconds: float) -> datetime:
        return datetime.fromtimestamp(unix_seconds, UTC)


@dataclass(frozen=True, slots=True)
class GPUHistoryResponse:
    """A metric of one GPU over time; `step` is in seconds."""

    gpu_id: int | None
    uuid: str | None
    metric: str
    unit: str
    since: datetime
    until: datetime
    step: float
    data: tuple[HistoryPoint, ...]
    source: SourceName
