"""Uploads, received over several requests, and their results."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from api.domain.datasets.dataset import MediaFacts


class UploadKind(StrEnum):
    """What an upload contains."""

    ITEM = "item"  #: one media file, its caption, or its mask
    ARCHIVE = "archive"  #: a zip or tar of media files
    MODEL = "model"  #: weights for a version of a registered model
    SAMPLE = "sample"  #: a picture or clip that shows the output of a registered model


class UploadStatus(StrEnum):
    """The state of an upload."""

    RECEIVING = "receiving"
    RECEIVED = "received"  #: completely received; being processed
    COMPLETED = "completed"  #: part of a dataset version
    FAILED = "failed"  #: nothing of it was stored

    @property
    def is_finished(self) -> bool:
        """Whether the status is final."""
        return self in (UploadStatus.COMPLETED, UploadStatus.FAILED)


@dataclass(frozen=True, slots=True)
class UploadProblem:
    """Why an upload failed: a code, a message, and the entry concerned if it is an archive."""

    code: str  #: stable error code, as in `error.code`
    message: str  #: the reason as text
    entry: str | None = None  #: name of the entry of the archive; null if it is about the whole file


@dataclass(frozen=True, slots=True)
class FormSettings:
    """Form fields that accompany an uploaded file."""

    prompt: str | None = None
    model_type: str | None = None
    fps: float | None = None
    resolution: str | None = None  #: such as 512x512
    dataset: str | None = None


@dataclass(frozen=True, slots=True)
class UploadResult:
    """The result of an upload."""

    dataset: str | None  #: None: it became a version of `model`, or a sample of one
    version: int
    added: int  #: items
    changed: int  #: items that replaced one with the same path
    left_out: int  #: files that are no media, captions, masks or controls
    left_out_examples: tuple[str, ...] = ()  #: some of their paths
    paths: tuple[str, ...] = ()  #: paths of some of the items
    num_repeats: Mapping[str, int] = field(default_factory=dict)  #: by directory, from names in kohya's form
    further_captions: int = 0  #: items with several captions, of which the first is used
    item: str | None = None  #: path of its item; single files only
    facts: MediaFacts | None = None  #: facts about the file; single files only
    model: str | None = None  #: the registered model that it is a version of


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload as stored. Only its file knows how many bytes have arrived."""

    serial: int
    upload_id: str
    owner: str | None
    kind: UploadKind | None  #: None: determined from the content
    filename: str | None  #: path below the dataset, with directories
    dataset: str | None
    metadata: Mapping[str, str]  #: metadata as the client sent it
    size_bytes: int | None  #: None: not known before its end
    status: UploadStatus
    created_at: datetime
    updated_at: datetime
    expires_at: datetime
    sha256: str | None = None
    task_id: str | None = None
    result: UploadResult | None = None
    problem: UploadProblem | None = None


@dataclass(frozen=True, slots=True)
class NewUpload:
    """An upload to create."""

    upload_id: str
    owner: str | None
    kind: UploadKind | None
    filename: str | None
    dataset: str | None
    metadata: Mapping[str, str]
    size_bytes: int | None
    created_at: datetime
    expires_at: datetime
    batch: "UploadBatch | None" = None


@dataclass(frozen=True, slots=True)
class UploadBatch:
    """Uploads that a client started together, such as the files of a folder."""

    name: str  #: chosen by the client
    size: int  #: number of uploads


#: How long a batch waits for missing parts after the last one arrived: with uploads in progress, and without.
_COMING, _SILENT = timedelta(minutes=10), timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class BatchState:
    """How much of a batch has arrived."""

    owner: str | None
    dataset: str
    name: str
    size: int  #: as the client announced
    started: int
    coming: int  #: started uploads that are not complete
    changed_at: datetime  #: when the last part arrived

    def is_ready(self, now: datetime) -> bool:
        """Return whether the batch is complete, or its waiting time is over. A clock that was ahead does not matter."""
        waits = _COMING if self.coming else _SILENT
        return (self.started >= self.size and not self.coming) or abs(now - self.changed_at) > waits


@dataclass(frozen=True, slots=True)
class UploadView:
    """An upload as the API shows it."""

    upload_id: str
    status: UploadStatus
    kind: UploadKind | None  #: what is uploaded; null until it is known
    filename: str | None  #: as the client named it
    dataset: str | None  #: dataset that gets the file; null for a model
    owner: str | None
    offset: int | None  #: bytes durably stored; None: another server has them
    size_bytes: int | None  #: announced size; null until it is known
    task_id: str | None  #: task that processes it; null if none
    result: UploadResult | None  #: what became of it; null until it is complete
    problem: UploadProblem | None  #: why it failed; null unless it failed
    created_at: datetime
    updated_at: datetime
    expires_at: datetime  #: when it is deleted if no bytes arrive


def metadata_text(values: Mapping[str, Any], name: str) -> str | None:
    """Return a value of an upload's metadata, or None if it is missing. Some clients send `null` for missing values."""
    value = values.get(name)
    return None if value in (None, "", "null", "undefined") else str(value)


@dataclass(slots=True)
class IntakeProgress:
    """Progress of processing an upload."""

    step: str
    done: int = 0
    total: int | None = None

    @property
    def percent(self) -> float:
        """Progress in %. Zero if the end is unknown."""
        return 0.0 if not self.total else round(100 * self.done / self.total, 1)
