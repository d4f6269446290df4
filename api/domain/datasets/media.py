"""Facts about media files, how a trainer cuts them, and what a video reader may open."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from api.domain.datasets.dataset import MediaFacts, MediaKind

#: Formats that the video reader may open. None of them refers to other files, as a playlist would.
VIDEO_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,asf,mpeg,mpegts,mpegvideo,h264,hevc,m4v,ogg,mjpeg,nut,ivf"
)

#: Options for opening a video: no protocol except the given file, and a limit on what is probed first.
VIDEO_OPTIONS: Mapping[str, str] = {
    "format_whitelist": VIDEO_FORMATS,
    "protocol_whitelist": "",
    "probesize": str(4 * 1024 * 1024),
}


#: Version of the prober. Facts from another version are computed again.
PROBER = "2"


class MediaProblem(StrEnum):
    """A problem with the bytes of a media file."""

    UNREADABLE = "unreadable"  #: not an image or video, or damaged
    TRUNCATED = "truncated"  #: its end is missing
    BOMB = "media_bomb"  #: needs more memory or time to decode than allowed
    CHANGED = "changed"  #: no longer the file of this version
    TURNED = "turned"  #: it has rotation metadata, which the trainer ignores


#: Pillow rejects larger images, also in the trainer. A decoded image of this size takes 700 MB.
MAX_PIXELS = 178_956_970


@dataclass(frozen=True, slots=True)
class MediaSource:
    """The path of a media file. `sha256` is the expected hash if others may write to the path."""

    path: Path
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class MediaProbe:
    """The result of examining a complete media file, besides its facts."""

    facts: MediaFacts
    stated_frames: int | None = None  #: number of frames according to its header, which the trainer's reader trusts
    rotation: int = 0  #: degrees of rotation from a video's metadata, which the trainer's reader applies
    perceptual_hash: str | None = None  #: 16 hexadecimal digits; None: unknown, or too plain to compare

    @property
    def has_damaged_pixels(self) -> bool:
        """Whether it is an image with a readable header but unreadable pixels. The trainer would open it and fail."""
        facts = self.facts
        is_damaged = facts.problem in (MediaProblem.UNREADABLE, MediaProblem.TRUNCATED)
        return is_damaged and facts.kind is MediaKind.IMAGE and facts.width is not None


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a trainer makes pixels from a media file: the box of the picture and the frames of a video."""

    width: int
    height: int
    box: tuple[float, float, float, float]  #: left, top, right, bottom in pixels of the file, as stored
    frames: tuple[int, ...]  #: indices of its frames in training order; an image has frame 0
    is_video: bool
    fps: float | None = None  #: frame rate for training


class Decoder(Protocol):
    """Examines media files. A hostile file only gets a problem in its facts. All methods raise DecoderBusy."""

    children: int  #: number of files that it examines concurrently

    def examine(self, source: MediaSource) -> MediaProbe:
        """Examine the complete file."""

    def thumbnail(self, source: MediaSource, side: int) -> bytes | None:
        """Return a JPEG of at most `side` × `side` pixels, or None if none can be made."""

    def as_trained(self, source: MediaSource, recipe: Recipe, positions: Sequence[int]) -> bytes | None:
        """Return a PNG of the recipe's frames at these positions, side by side, or None if none can be made."""

    def group_alike(self, hashes: Sequence[str], distance: int) -> tuple[list[list[int]], bool]:
        """Group the positions of hashes that differ in at most `distance` bits. Return also if all were compared."""
