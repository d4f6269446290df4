"""Uploads: what comes in over several requests, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from api.domain.dataset import MediaFacts


class UploadKind(StrEnum):
    """What an upload is to become."""

    ITEM = "item"  #: one media file, its caption, or its mask
    ARCHIVE = "archive"  #: a zip or tar of them
    MODEL = "model"  #: weights that become a version of a registered model
    SAMPLE = "sample"  #: a picture or clip that shows what such a version makes


class UploadStatus(StrEnum):
    """How far an upload is."""

    RECEIVING = "receiving"
    RECEIVED = "received"  #: all of it is here; it is being looked into
    COMPLETED = "completed"  #: a version of its dataset has it
    FAILED = "failed"  #: nothing of it was kept

    @property
    def is_finished(self) -> bool:
        """Whether nothing changes any more."""
        return self in (UploadStatus.COMPLETED, UploadStatus.FAILED)


@dataclass(frozen=True, slots=True)
class UploadProblem:
    """Why an upload has failed: a stable word, a sentence, and of an archive the entry that it is about."""

    code: str
    message: str
    entry: str | None = None


@dataclass(frozen=True, slots=True)
class FormSettings:
    """What a form says of the file that comes with it."""

    prompt: str | None = None
    model_type: str | None = None
    fps: float | None = None
    resolution: str | None = None  #: such as 512x512
    dataset: str | None = None


@dataclass(frozen=True, slots=True)
class UploadResult:
    """What an upload has become."""

    dataset: str | None  #: None: it became a version of `model`, or a sample of one
    version: int
    added: int  #: items
    changed: int  #: items that the dataset had under the same path
    left_out: int  #: files that are no media, captions, masks or controls
    left_out_examples: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()  #: some of the items
    num_repeats: Mapping[str, int] = field(default_factory=dict)  #: of directories named as in kohya's form
    further_captions: int = 0  #: of items that came with several: the first is taken
    item: str | None = None  #: of a single file: the path of its item
    facts: MediaFacts | None = None  #: of a single file: what it is
    model: str | None = None  #: the registered model that it is a version of


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload as it is kept. How many bytes of it are here only its file says."""

    serial: int
    upload_id: str
    owner: str | None
    kind: UploadKind | None  #: None: its content will tell
    filename: str | None  #: below the dataset, with its directories
    dataset: str | None
    metadata: Mapping[str, str]  #: what the client said of it, as it said it
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
    """An upload that is wanted."""

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
    """Uploads that were begun together, such as the files of a folder."""

    name: str  #: the client's
    size: int  #: how many they are


#: How long a batch waits for the rest after something of it came: while some of it is under way, and while none is.
_COMING, _SILENT = timedelta(minutes=10), timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class BatchState:
    """How much of a batch of uploads is here."""

    owner: str | None
    dataset: str
    name: str
    size: int  #: as its client says
    begun: int
    coming: int  #: those of the begun ones that are not here whole
    changed_at: datetime  #: when something of it came last

    def is_ready(self, now: datetime) -> bool:
        """Whether all of it is here, or nothing more is waited for: also where the clock was ahead when it came."""
        waits = _COMING if self.coming else _SILENT
        return (self.begun >= self.size and not self.coming) or abs(now - self.changed_at) > waits


@dataclass(frozen=True, slots=True)
class UploadView:
    """An upload as it is answered."""

    upload_id: str
    status: UploadStatus
    kind: UploadKind | None
    filename: str | None
    dataset: str | None
    owner: str | None
    offset: int | None  #: bytes that are here, durably; None: another server has them
    size_bytes: int | None
    task_id: str | None
    result: UploadResult | None
    problem: UploadProblem | None
    created_at: datetime
    updated_at: datetime
    expires_at: datetime


def metadata_text(values: Mapping[str, Any], name: str) -> str | None:
    """A value that the client said of its upload; None where it said nothing, as some clients say `null`."""
    value = values.get(name)
    return None if value in (None, "", "null", "undefined") else str(value)


@dataclass(slots=True)
class IntakeProgress:
    """How far an upload is that is being looked into."""

    step: str
    done: int = 0
    total: int | None = None

    @property
    def percent(self) -> float:
        """How much of it is done; of what has no known end 0."""
        return 0.0 if not self.total else round(100 * self.done / self.total, 1)
