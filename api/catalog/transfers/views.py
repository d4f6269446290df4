"""Downloads and pushes in answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from api.domain.reason import ReasonCode
from api.domain.tasks.cause import Cause


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

    name: str  #: path in the repository, or file name
    repository: str | None  #: null for a URL
    size: int | None  #: null until it is known
    downloaded: int  #: bytes that are stored
    progress: float | None  #: 0 to 100
    path: str | None  #: final path on the server; null until it is complete
    status: str


@dataclass(frozen=True, slots=True)
class DownloadView:
    """A download. `speed` equals `bytes_per_second` and `eta` equals `eta_seconds`, for older clients."""

    download_id: str
    name: str | None  #: what is downloaded, for display
    model_id: str | None  #: model type that it is for; null if it is not for one
    version: str | None  #: variant of the model type; null if it is not for one
    status: DownloadStatus
    progress: float | None  #: in %; null until the size is known
    speed: float | None  #: equals `bytes_per_second`
    eta: float | None  #: equals `eta_seconds`
    components: tuple[DownloadedFile, ...]  #: its files
    bytes_total: int | None  #: null until the sizes are known
    bytes_done: int | None  #: null until it has started
    bytes_per_second: float | None  #: null unless it runs
    eta_seconds: float | None  #: null unless it runs
    owner: str | None
    waiting_reason: str | None
    waiting_reason_code: ReasonCode | None  #: the code of the reason, for programs and translations
    failure: Cause | None  #: cause of the failure; null unless it failed
    warnings: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    request: Mapping[str, Any]


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
    size: int | None  #: null until it is known
    sent: int  #: bytes that the hub has
    progress: float | None  #: 0 to 100
    status: str


@dataclass(frozen=True, slots=True)
class PushView:
    """A push of a saved model to a hub."""

    push_id: str
    model: str | None  #: name in the library
    version: int | None  #: number of the version
    repository: str | None  #: owner/name on the hub
    url: str | None  #: of the repository's page, once the push is complete
    commit: str | None  #: the commit that has all files
    is_new: bool | None  #: whether the push made a new commit; None: not known yet
    status: PushStatus
    progress: float | None  #: in %; null until the sizes are known
    files: tuple[PushedFileView, ...]  #: files of the commit
    bytes_total: int | None  #: null until the sizes are known
    bytes_done: int | None  #: null until it has started
    bytes_per_second: float | None  #: null unless it runs
    eta_seconds: float | None  #: null unless it runs
    owner: str | None
    waiting_reason: str | None
    waiting_reason_code: ReasonCode | None  #: the code of the reason, for programs and translations
    failure: Cause | None  #: cause of the failure; null unless it failed
    warnings: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    request: Mapping[str, Any]
