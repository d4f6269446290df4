"""Request and response schemas for the media of datasets."""

from enum import StrEnum
from typing import Any

from pydantic import ConfigDict, Field, JsonValue

from api.datasets.checks.duplicates import NEAR_DISTANCE
from api.datasets.checks.service import CheckRequest
from api.datasets.schemas import Version, VersionQuery
from api.datasets.versions.export import ExportForm
from api.util.http.validation import Strict

_SETTINGS = "as in the trainer's dataset file"

#: Request fields that are not dataset settings.
_OWN = frozenset({"version", "model_type", "config", "gpu_count", "near_distance"})


class CheckDataset(Strict):
    """A version and how it would be trained on. Settings have the trainer's names and are checked by its rules."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "example": {"model_type": "wan", "resolutions": [512], "frame_buckets": [1, 33], "enable_ar_bucket": True}
        },
    )

    version: Version | None = None
    model_type: str | None = Field(None, max_length=64, description="if omitted, only the files are checked")
    config: dict[str, JsonValue] | None = Field(
        None, description="the relevant part of a training's `config`: batch sizes, `video_clip_mode`, `model`"
    )
    gpu_count: int = Field(1, ge=1, le=1024)
    near_distance: int = Field(
        NEAR_DISTANCE,
        ge=0,
        le=7,
        description="greatest difference in bits between the hashes of two pictures that count as near duplicates",
    )
    resolutions: JsonValue = Field(None, description=_SETTINGS)
    size_buckets: JsonValue = Field(None, description=_SETTINGS)
    enable_ar_bucket: JsonValue = Field(None, description=_SETTINGS)
    ar_buckets: JsonValue = Field(None, description=_SETTINGS)
    min_ar: JsonValue = Field(None, description=_SETTINGS)
    max_ar: JsonValue = Field(None, description=_SETTINGS)
    num_ar_buckets: JsonValue = Field(None, description=_SETTINGS)
    frame_buckets: JsonValue = Field(None, description=_SETTINGS)
    num_repeats: JsonValue = Field(None, description=_SETTINGS)
    caption_prefix: JsonValue = Field(None, description=_SETTINGS)
    shuffle_tags: JsonValue = Field(None, description=_SETTINGS)
    cache_shuffle_num: JsonValue = Field(None, description=_SETTINGS)
    cache_shuffle_delimiter: JsonValue = Field(None, description=_SETTINGS)
    skip_empty_caption: JsonValue = Field(None, description=_SETTINGS)
    shuffle_metadata: JsonValue = Field(None, description=_SETTINGS)
    subsample_ratio: JsonValue = Field(None, description=_SETTINGS)

    def to_request(self) -> CheckRequest:
        """Return the request for the service."""
        given: dict[str, Any] = self.model_dump(exclude=set(_OWN), exclude_none=True)
        return CheckRequest(self.version, self.model_type, given, self.config or {}, self.gpu_count, self.near_distance)


class ThumbnailQuery(Strict):
    """Version and size of a thumbnail."""

    version: Version | None = None
    size: int = Field(256, ge=16, le=512, description="longest side in pixels; rounded up to 128, 256 or 512")


class PictureForm(StrEnum):
    """Content of the response: the picture, or how it is made."""

    PICTURE = "picture"
    RECIPE = "recipe"


class AsTrainedQuery(Strict):
    """Model type and size for the trainer's view of an item. Several ratios or lengths are separated by commas."""

    version: Version | None = None
    model_type: str = Field(max_length=64, description="the model type that would be trained")
    resolution: str = Field(
        "512", pattern=r"^\d{2,5}(x\d{2,5})?$", description="the side of a square, or width x height: `1280x720`"
    )
    ar_buckets: str | None = Field(
        None, max_length=1000, pattern=r"^[\d.,]+$", description="width / height of each bucket; if omitted, squares"
    )
    min_ar: float | None = Field(
        None, gt=0, le=1000, description="with `max_ar` and `num_ar_buckets`, in place of `ar_buckets`"
    )
    max_ar: float | None = Field(None, gt=0, le=1000, description="highest aspect ratio, with `min_ar`")
    num_ar_buckets: int | None = Field(None, ge=1, le=1000, description="number of aspect ratios between both")
    frame_buckets: str | None = Field(None, max_length=1000, pattern=r"^\d+(,\d+)*$", description="`1,33,65`")
    video_clip_mode: str = Field(
        "single_beginning", pattern=r"^single_(beginning|middle)$", description="which part of a longer video is used"
    )
    frame: int | None = Field(None, ge=0, le=100_000, description="index of the only trained frame to show")
    form: PictureForm = Field(PictureForm.PICTURE, description="`recipe`: JSON that describes how the pixels are made")

    def to_request(self) -> CheckRequest:
        """Return the request for the service."""
        width, _, height = self.resolution.partition("x")
        settings: dict[str, Any] = {"resolutions": [[int(width), int(height)] if height else int(width)]}
        if self.ar_buckets is not None:
            ratios = [float(part) for part in self.ar_buckets.split(",") if part.replace(".", "", 1).isdigit()]
            settings |= {"enable_ar_bucket": True, "ar_buckets": ratios}
        elif self.min_ar is not None or self.max_ar is not None or self.num_ar_buckets is not None:
            given = {"min_ar": self.min_ar, "max_ar": self.max_ar, "num_ar_buckets": self.num_ar_buckets}
            settings |= {
                "enable_ar_bucket": True,
                **{name: value for name, value in given.items() if value is not None},
            }
        if self.frame_buckets is not None:
            settings["frame_buckets"] = [int(part) for part in self.frame_buckets.split(",")]
        return CheckRequest(self.version, self.model_type, settings, {"video_clip_mode": self.video_clip_mode})


class ExportQuery(VersionQuery):
    """Version and layout of an export."""

    form: ExportForm = Field(ExportForm.TRAINER, description="layout: the trainer's, kohya's scripts' or ai-toolkit's")
