"""Pushes in answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from api.domain.cause import Cause
from api.domain.reason import ReasonCode


class PushStatus(StrEnum):
    """The status of a push."""

    QUEUED = "queued"
    PUSHING = "pushing"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class PushedFileView:
    """One file of a push. Sizes are bytes."""

    name: str  #: its path in the repository
    size: int | None
    sent: int
    progress: float | None  #: 0 to 100
    status: str


@dataclass(frozen=True, slots=True)
class PushView:
    """A push of a saved model to a hub."""

    push_id: str
    model: str | None
    version: int | None
    repository: str | None
    url: str | None  #: of the repository's page, once the push is complete
    commit: str | None  #: the commit that has all files
    is_new: bool | None  #: whether the push made a new commit; None: not known yet
    status: PushStatus
    progress: float | None
    files: tuple[PushedFileView, ...]
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
