"""What requests about the media of datasets may hold, and what their answers look like."""

from enum import StrEnum
from typing import Any

from pydantic import ConfigDict, Field, JsonValue

from api.datasets.check import CheckWish
from api.datasets.check_models import DatasetCheck, RecipeView
from api.datasets.export import ExportForm
from api.datasets.schemas import Version, VersionQuery
from api.util.validation import Strict
from api.web.schemas import Envelope

_SETTINGS = "as in the trainer's dataset file"

#: What of a request is no setting of the dataset.
_OWN = frozenset({"version", "model_type", "config", "gpu_count", "near_distance"})


class CheckDataset(Strict):
    """A version, and how it would be trained on. Settings are the trainer's, and checked by its rules."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "example": {"model_type": "wan", "resolutions": [512], "frame_buckets": [1, 33], "enable_ar_bucket": True}
        },
    )

    version: Version | None = None
    model_type: str | None = Field(None, max_length=64, description="without one the files alone are checked")
    config: dict[str, JsonValue] | None = Field(
        None, description="what of a training's `config` bears on it: batch sizes, `video_clip_mode`, `model`"
    )
    gpu_count: int = Field(1, ge=1, le=1024)
    near_distance: int = Field(4, ge=0, le=7, description="bits in which the hashes of pictures that look alike differ")
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

    def wish(self) -> CheckWish:
        """The wish as the service takes it."""
        given: dict[str, Any] = self.model_dump(exclude=set(_OWN), exclude_none=True)
        return CheckWish(self.version, self.model_type, given, self.config or {}, self.gpu_count, self.near_distance)


class ThumbnailQuery(Strict):
    """Of which version, and how large."""

    version: Version | None = None
    size: int = Field(256, ge=16, le=512, description="pixels of the longer side: 128, 256 or 512 at most")


class PictureForm(StrEnum):
    """What an answer holds."""

    PICTURE = "picture"
    RECIPE = "recipe"


class AsTrainedQuery(Strict):
    """For which model, and at which size. Several ratios or lengths are separated by commas."""

    version: Version | None = None
    model_type: str = Field(max_length=64)
    resolution: str = Field(
        "512", pattern=r"^\d{2,5}(x\d{2,5})?$", description="the side of a square, or width x height: `1280x720`"
    )
    ar_buckets: str | None = Field(
        None, max_length=1000, pattern=r"^[\d.,]+$", description="width / height of each bucket; without it squares"
    )
    min_ar: float | None = Field(
        None, gt=0, le=1000, description="with `max_ar` and `num_ar_buckets`, for `ar_buckets`"
    )
    max_ar: float | None = Field(None, gt=0, le=1000)
    num_ar_buckets: int | None = Field(None, ge=1, le=1000)
    frame_buckets: str | None = Field(None, max_length=1000, pattern=r"^\d+(,\d+)*$", description="`1,33,65`")
    video_clip_mode: str = Field("single_beginning", pattern=r"^single_(beginning|middle)$")
    frame: int | None = Field(None, ge=0, le=100_000, description="only this one of the frames that are trained on")
    form: PictureForm = Field(PictureForm.PICTURE, description="`recipe`: how the pixels are made, as JSON")

    def wish(self) -> CheckWish:
        """The wish as the service takes it."""
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
        return CheckWish(self.version, self.model_type, settings, {"video_clip_mode": self.video_clip_mode})


class DatasetCheckAnswer(Envelope[DatasetCheck]):
    """What a check found."""


class RecipeAnswer(Envelope[RecipeView]):
    """How the trainer makes the pixels of an item."""


class ExportQuery(VersionQuery):
    """Which version, in which form."""

    form: ExportForm = Field(ExportForm.TRAINER, description="for whom: the trainer, kohya's scripts, or ai-toolkit")
