"""Options for preprocessing media files: frame rate, size, crop, cuts, format. No I/O."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class CutBy(StrEnum):
    """How videos are cut."""

    SECONDS = "seconds"
    SCENE = "scene"


class FirstFrame(StrEnum):
    """What to do with the first frame of a video, as an image."""

    ADD = "add"  #: store it beside the video
    ONLY = "only"  #: store it instead of the video


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A part of a picture, in pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Cut:
    """How to cut videos. `seconds` is the length of a piece, or the maximum length of a scene; None: no limit."""

    by: CutBy
    seconds: float | None = None
    min_seconds: float = 0.5  #: shorter pieces are dropped
    threshold: float = 27.0  #: minimum difference between two scenes, on PySceneDetect's scale


@dataclass(frozen=True, slots=True)
class MediaSettings:
    """The changes to make to each file. None leaves a property unchanged."""

    fps: float | None = None
    width: int | None = None  #: together with `height`: exact size, reached by scaling and cropping
    height: int | None = None
    short_side: int | None = None  #: scale larger files down until their shorter side has this many pixels
    crop: Rectangle | None = None  #: crop before scaling
    cut: Cut | None = None
    first_frame: FirstFrame | None = None
    image_format: str | None = None  #: png, jpeg, webp
    video_format: str | None = None  #: mp4: H.264 in a container that every program reads
    keep_audio: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether these settings change no file."""
        return self == MediaSettings(keep_audio=self.keep_audio)

    def as_json(self) -> dict[str, Any]:
        """Return the mapping that `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> "MediaSettings":
        """Return the settings from their JSON. Raise TypeError or ValueError if it is invalid."""
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
