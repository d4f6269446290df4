"""Samples of a model version: pictures and clips that show its output."""

from dataclasses import dataclass
from datetime import datetime

from api.domain.datasets.dataset import MediaFacts, MediaKind

#: Limits per version: number of samples, and bytes of one sample.
MOST_SAMPLES = 50
MOST_SAMPLE_BYTES = 64 * 1024 * 1024

#: Limits of a sample: characters of its prompt, and its step.
MOST_PROMPT = 4000
MOST_STEP = 999_999_999

#: Pattern of a seed. Programs use up to 64 bits, more than JavaScript numbers can hold.
SEED = r"-?[0-9]{1,20}"

#: Accepted formats and their file endings. Every browser shows these formats.
SAMPLE_ENDINGS = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "gif": ".gif", "mp4": ".mp4", "webm": ".webm"}


@dataclass(frozen=True, slots=True)
class SampleSettings:
    """How a sample was made, according to its sender."""

    prompt: str | None = None
    seed: str | None = None
    step: int | None = None


@dataclass(frozen=True, slots=True)
class NewSample:
    """A sample before it is stored. Its bytes are the blob with this hash."""

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
    ordinal: int  #: number within its version
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
        """The file ending."""
        return SAMPLE_ENDINGS[self.format]


@dataclass(frozen=True, slots=True)
class SampleView:
    """A sample as the API shows it."""

    sample_id: str
    model: str  #: name of the model in the library
    version: int  #: number of the version
    kind: MediaKind  #: picture or video
    file_name: str  #: name of its download
    size_bytes: int
    sha256: str
    width: int | None
    height: int | None
    duration: float | None  #: seconds; null for a picture
    fps: float | None  #: null for a picture
    frame_count: int | None  #: number of frames
    prompt: str | None  #: null if not given
    seed: str | None  #: digits
    step: int | None  #: step of the training; null if not given
    file: str  #: address of the file
    thumbnail: str  #: address of a small picture of it
    created_at: datetime
    actor: str


@dataclass(frozen=True, slots=True)
class SampleDeleted:
    """The deleted sample."""

    sample_id: str
