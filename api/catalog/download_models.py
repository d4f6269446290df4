"""Downloads in answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from api.domain.cause import Cause
from api.domain.reason import ReasonCode


class DownloadStatus(StrEnum):
    """The status of a download."""

    QUEUED = "queued"
    DOWNLOADING = "downloading"
    VERIFYING = "verifying"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class DownloadedFile:
    """One file of a download. Sizes are bytes; `path` is its final path once it is complete."""

    name: str
    repository: str | None
    size: int | None
    downloaded: int
    progress: float | None  #: 0 to 100
    path: str | None
    status: str


@dataclass(frozen=True, slots=True)
class DownloadView:
    """A download. `speed` equals `bytes_per_second` and `eta` equals `eta_seconds`, for older clients."""

    download_id: str
    name: str | None
    model_id: str | None
    version: str | None
    status: DownloadStatus
    progress: float | None
    speed: float | None
    eta: float | None
    components: tuple[DownloadedFile, ...]
    bytes_total: int | None
    bytes_done: int | None
    bytes_per_second: float | None
    eta_seconds: float | None
    owner: str | None
    waiting_reason: str | None
    waiting_reason_code: ReasonCode | None  #: the code of the reason, for programs and translations
    failure: Cause | None
    warnings: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    request: Mapping[str, Any]
