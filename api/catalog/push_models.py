"""Pushes of versions to a hub as they are answered."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from api.domain.cause import Cause
from api.domain.reason import ReasonCode


class PushStatus(StrEnum):
    """Where a push is."""

    QUEUED = "queued"
    PUSHING = "pushing"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class PushedFileView:
    """One file of a push: bytes, and how many of them were sent."""

    name: str  #: its path in the repository
    size: int | None
    sent: int
    progress: float | None  #: 0 to 100
    status: str


@dataclass(frozen=True, slots=True)
class PushView:
    """A push as it is answered."""

    push_id: str
    model: str | None
    version: int | None
    repository: str | None
    url: str | None  #: of the repository's page, once everything is there
    commit: str | None  #: at which everything is there
    is_new: bool | None  #: whether anything was not there before; None: not known yet
    status: PushStatus
    progress: float | None
    files: tuple[PushedFileView, ...]
    bytes_total: int | None
    bytes_done: int | None
    bytes_per_second: float | None
    eta_seconds: float | None
    owner: str | None
    waiting_reason: str | None
    waiting_reason_code: ReasonCode | None  #: the same for programs, and in other languages
    failure: Cause | None
    warnings: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    request: Mapping[str, Any]
