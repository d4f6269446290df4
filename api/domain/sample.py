"""Preview samples of a model's version: pictures and clips that show what it makes."""

from dataclasses import dataclass
from datetime import datetime

from api.domain.dataset import MediaFacts, MediaKind

#: The most that a version has, and the most bytes of one.
MOST_SAMPLES = 50
MOST_SAMPLE_BYTES = 64 * 1024 * 1024

#: The most characters of its prompt, and the last step that it may be of.
MOST_PROMPT = 4000
MOST_STEP = 999_999_999

#: What a sample's number of its random generator looks like: programs use up to 64 bits, more than JavaScript counts.
SEED = r"-?[0-9]{1,20}"

#: The formats that are taken, with the ending under which each is handed on: those that every browser shows.
SAMPLE_ENDINGS = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "gif": ".gif", "mp4": ".mp4", "webm": ".webm"}


@dataclass(frozen=True, slots=True)
class SampleSettings:
    """How a sample was made, as far as its sender says."""

    prompt: str | None = None
    seed: str | None = None
    step: int | None = None


@dataclass(frozen=True, slots=True)
class NewSample:
    """A sample as it is about to be kept; its bytes are the blob of this hash."""

    sample_id: str
    sha256: str
    size_bytes: int
    format: str  #: one of SAMPLE_ENDINGS
    facts: MediaFacts
    settings: SampleSettings
    actor: str


@dataclass(frozen=True, slots=True)
class ModelSample:
    """A sample of one version."""

    sample_id: str
    ordinal: int  #: of its version
    sha256: str
    size_bytes: int
    format: str
    kind: MediaKind
    width: int | None
    height: int | None
    duration: float | None
    fps: float | None
    frame_count: int | None
    settings: SampleSettings
    created_at: datetime
    actor: str

    @property
    def ending(self) -> str:
        """What its name ends with."""
        return SAMPLE_ENDINGS[self.format]


@dataclass(frozen=True, slots=True)
class SampleView:
    """A sample as it is answered."""

    sample_id: str
    model: str
    version: int
    kind: MediaKind
    file_name: str  #: what its download is called
    size_bytes: int
    sha256: str
    width: int | None
    height: int | None
    duration: float | None  #: seconds; of a picture null
    fps: float | None
    frame_count: int | None
    prompt: str | None
    seed: str | None  #: digits
    step: int | None
    file: str  #: where it is
    thumbnail: str  #: where a small picture of it is
    created_at: datetime
    actor: str


@dataclass(frozen=True, slots=True)
class SampleDeleted:
    """What was deleted."""

    sample_id: str
