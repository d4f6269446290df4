"""What a preprocessing makes of media files: re-timed, scaled, cropped, cut, converted. No I/O."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class CutBy(StrEnum):
    """Where videos are cut."""

    SECONDS = "seconds"
    SCENE = "scene"


class FirstFrame(StrEnum):
    """What becomes of the first frame of videos, as an image."""

    ADD = "add"  #: it stands beside the video
    ONLY = "only"  #: it takes the video's place


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A part of a picture, in its pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Cut:
    """How videos are cut. `seconds` is the length of a piece, or the longest that a scene may be; None: any."""

    by: CutBy
    seconds: float | None = None
    min_seconds: float = 0.5  #: shorter pieces are left out
    threshold: float = 27.0  #: how much a scene differs from the one before, in PySceneDetect's measure


@dataclass(frozen=True, slots=True)
class MediaSettings:
    """What is made of each file; None leaves that as it is."""

    fps: float | None = None
    width: int | None = None  #: with `height`: exactly this size, by scaling and cropping
    height: int | None = None
    short_side: int | None = None  #: larger ones are scaled down until their shorter side has so many pixels
    crop: Rectangle | None = None  #: what is left of the picture before it is scaled
    cut: Cut | None = None
    first_frame: FirstFrame | None = None
    image_format: str | None = None  #: png, jpeg, webp
    video_format: str | None = None  #: mp4: H.264 in a container that everything reads
    keep_audio: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether no file is changed by it."""
        return self == MediaSettings(keep_audio=self.keep_audio)

    def as_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> "MediaSettings":
        """The settings from their JSON. Raises TypeError, ValueError."""
        crop, cut = given.get("crop"), given.get("cut")
        frame = given.get("first_frame")
        return cls(
            **{
                **given,
                "crop": None if crop is None else Rectangle(**crop),
                "cut": None if cut is None else Cut(**{**cut, "by": CutBy(cut["by"])}),
                "first_frame": None if frame is None else FirstFrame(frame),
            }
        )
