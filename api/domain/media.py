"""What a media file was found to be, how it is cut for a training, and what may be opened to find out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from api.domain.dataset import MediaFacts, MediaKind

#: Formats that the video reader may open: none refers to other files, as a playlist would.
VIDEO_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,asf,mpeg,mpegts,mpegvideo,h264,hevc,m4v,ogg,mjpeg,nut,ivf"
)

#: Options with which a video is opened: no other protocol than the file at hand, and a bound on what is read first.
VIDEO_OPTIONS: Mapping[str, str] = {
    "format_whitelist": VIDEO_FORMATS,
    "protocol_whitelist": "",
    "probesize": str(4 * 1024 * 1024),
}


#: Which way of looking the facts come from: what another one found is looked at anew.
PROBER = "2"


class MediaProblem(StrEnum):
    """What is wrong with the bytes of a media file."""

    UNREADABLE = "unreadable"  #: no image or video, or one that is damaged
    TRUNCATED = "truncated"  #: its end is missing
    BOMB = "media_bomb"  #: it asks for more memory or time than any media file may
    CHANGED = "changed"  #: it is no longer the file of this version
    TURNED = "turned"  #: a note in it turns it for people; the trainer reads its pixels as they are stored


#: Pillow refuses more, in the trainer as well: a decoded image of that size takes 700 MB.
MAX_PIXELS = 178_956_970


@dataclass(frozen=True, slots=True)
class MediaSource:
    """Where a media file lies; `sha256` is what its content must have, where others may write to it."""

    path: Path
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class MediaProbe:
    """What a look at a whole media file found, besides its facts."""

    facts: MediaFacts
    stated_frames: int | None = None  #: how many its header states or lets expect: the trainer's reader believes that
    rotation: int = 0  #: degrees by which a note in a video turns it; the trainer's reader does that
    perceptual_hash: str | None = None  #: 16 hexadecimal digits; None: unknown, or too plain to be compared

    @property
    def has_damaged_pixels(self) -> bool:
        """Whether it is an image whose header can be read and whose pixels cannot: the trainer opens it, and fails."""
        facts = self.facts
        is_damaged = facts.problem in (MediaProblem.UNREADABLE, MediaProblem.TRUNCATED)
        return is_damaged and facts.kind is MediaKind.IMAGE and facts.width is not None


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a trainer makes its pixels of a media file: from `box` of the picture, and for a video from these frames."""

    width: int
    height: int
    box: tuple[float, float, float, float]  #: left, top, right, bottom in pixels of the file, as they are stored
    frames: tuple[int, ...]  #: indices of its frames, in the order in which they are trained on; an image has frame 0
    is_video: bool
    fps: float | None = None  #: at which they are trained on


class Decoder(Protocol):
    """Looks into media files; a hostile one costs a problem in its facts, or its picture. All raise DecoderBusy."""

    children: int  #: how many files it looks into at a time

    def examine(self, source: MediaSource) -> MediaProbe:
        """What a look at the whole file finds."""
        ...

    def thumbnail(self, source: MediaSource, side: int) -> bytes | None:
        """A JPEG of at most `side` × `side` pixels; None when none can be made."""
        ...

    def as_trained(self, source: MediaSource, recipe: Recipe, positions: Sequence[int]) -> bytes | None:
        """A PNG of frames that a recipe makes, by their positions in it, beside each other; None when there is none."""
        ...

    def group_alike(self, hashes: Sequence[str], distance: int) -> tuple[list[list[int]], bool]:
        """Positions of hashes that differ in `distance` bits at most, in groups; and whether all were compared."""
        ...
