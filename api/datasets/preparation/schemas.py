"""Request and response schemas for preprocessing."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, JsonValue, model_validator

from api.datasets.preparation.caption_rules import CaptionMode, CaptionRules, Replacement
from api.datasets.preparation.request import PreprocessRequest
from api.datasets.preparation.views import PreprocessStatus, PreprocessView
from api.datasets.schemas import Caption, DatasetName, Description, ReplaceText, Search, Version
from api.domain.datasets.captioning import PROMPTS, CaptionRequest, PromptTemplate
from api.domain.datasets.dataset import DATASET_NAME
from api.domain.datasets.media_settings import Cut, CutBy, FirstFrame, MediaSettings, Rectangle
from api.domain.datasets.upload import FormSettings
from api.domain.tasks.training import TaskEvent
from api.trainers.diffusion_pipe.models.registry import ModelType
from api.util.copying import copy_fields
from api.util.http.pagination import Pagination
from api.util.http.validation import NO_NUL, Strict
from api.web.schemas import Name, PageQuery, Shown, at_least_one, at_most_one

#: Limits: trainers accept no larger pictures (pixels), and no video has a higher frame rate.
MAX_SIDE = 16_384
MAX_FPS = 240.0

Side = Annotated[int, Field(ge=16, le=MAX_SIDE)]
Reference = Annotated[str, Field(min_length=1, max_length=200, description="`name`, `name@3`, or `name@sha256:…`")]
Size = Annotated[
    str, Field(pattern=r"^[1-9][0-9]{1,4}x[1-9][0-9]{1,4}$", description="width and height, such as `512x512`")
]

_EXAMPLE: dict[str, Any] = {
    "dataset": "clips",
    "model_type": "wan",
    "resolution": "512x512",
    "cut": {"by": "scene", "seconds": 5},
    "captions": {"trigger": "ohwx cat"},
}
_RULES: list[JsonValue] = [
    at_least_one("dataset", "directory"),
    at_most_one("dataset", "directory"),
    at_most_one("resolution", "short_side"),
]


class CropOptions(Strict):
    """The part of each picture to keep, in pixels of the picture."""

    model_config = ConfigDict(strict=True)

    x: int = Field(0, ge=0, le=10**6)
    y: int = Field(0, ge=0, le=10**6)
    width: int = Field(ge=1, le=10**6)
    height: int = Field(ge=1, le=10**6)


class CutOptions(Strict):
    """Where videos are cut."""

    model_config = ConfigDict(strict=True)

    by: CutBy = Field(strict=False)  #: what decides where a video is cut
    seconds: float | None = Field(
        None, ge=0.1, le=86_400, description="length of a piece; by scene: its greatest length"
    )
    min_seconds: float = Field(0.5, ge=0, le=86_400, description="shorter pieces are dropped")
    threshold: float = Field(
        27.0, ge=1, le=255, description="by scene: how much a frame must differ from the one before"
    )

    @model_validator(mode="after")
    def _has_length(self) -> "CutOptions":
        if self.by is CutBy.SECONDS and self.seconds is None:
            raise ValueError("set seconds, the length of a piece")
        if self.seconds is not None and self.seconds < self.min_seconds:
            raise ValueError("min_seconds is greater than seconds, so every piece would be dropped: lower min_seconds")
        return self


class CaptionOptions(Strict):
    """How captions are normalised: replacements first, then the trigger, then prefix and suffix."""

    model_config = ConfigDict(strict=True)

    mode: CaptionMode = Field(
        CaptionMode.EXISTING, strict=False, description="all: items without a caption get trigger and prefix, too"
    )
    prefix: Caption | None = None  #: text in front of each caption
    suffix: Caption | None = None  #: text at the end of each caption
    trigger: Caption | None = Field(None, description="put in front of captions that do not contain it")
    replace: list["ReplaceCaption"] = Field(default_factory=list, max_length=50)  #: replacements, applied in this order

    def rules(self) -> CaptionRules:
        """Return the rules for the service."""
        replaced = tuple(Replacement(each.sought, each.put, each.regex) for each in self.replace)
        return CaptionRules(self.mode, self.prefix, self.suffix, self.trigger, replaced)


class ReplaceCaption(ReplaceText):
    """A text or pattern and its replacement."""

    regex: bool = Field(False, description="`from` is an RE2 pattern")


class StartPreprocess(Strict):
    """A version of a dataset and the processing of it."""

    model_config = ConfigDict(strict=True, json_schema_extra={"minProperties": 1, "example": _EXAMPLE, "allOf": _RULES})

    dataset: Reference | None = None  #: the version to process, as a name or name@3
    directory: str | None = Field(
        None, max_length=4096, description="in place of dataset: the path of a registered directory on the server"
    )
    into: DatasetName | None = Field(None, description="the dataset that gets the new version; by default the source")
    model_type: str | None = Field(None, max_length=64, description="videos are re-timed to its frame rate")
    fps: Annotated[float, Field(gt=0, le=MAX_FPS)] | Literal["keep"] | None = Field(
        None, description="frame rate in place of the model's; keep: unchanged"
    )
    resolution: Size | None = Field(None, description="exact size, by scaling and a central crop")
    short_side: Side | None = Field(
        None, description="larger pictures are scaled down until their shorter side has this length"
    )
    crop: CropOptions | None = Field(None, description="the part of each picture to keep; applied before scaling")
    cut: CutOptions | None = None  #: where videos are cut; null: they are not
    first_frame: FirstFrame | None = Field(
        None, strict=False, description="store the first frame of each video as an image, beside or instead of it"
    )
    image_format: Literal["png", "jpeg", "webp"] | None = None  #: format of the resulting pictures
    video_format: Literal["mp4"] | None = Field(None, description="mp4: H.264, which every player reads")
    keep_audio: bool = Field(False, description="keep the sound of videos that are converted")
    captions: CaptionOptions | None = None  #: how captions are normalised; null: unchanged
    resolutions: list[Side | Annotated[list[Side], Field(min_length=2, max_length=2)]] = Field(
        default_factory=list, max_length=20, description="for dataset.toml"
    )
    frame_buckets: list[Annotated[int, Field(ge=1, le=10_000)]] = Field(
        default_factory=list, max_length=50, description="for dataset.toml"
    )
    num_repeats: Annotated[int, Field(ge=1, le=100_000)] | None = Field(None, description="for dataset.toml")
    name: Name | None = None
    description: Description | None = Field(None, description="message of the new version")
    priority: int = Field(0, ge=-1000, le=1000)

    @model_validator(mode="after")
    def _is_possible(self) -> "StartPreprocess":
        if (self.dataset is None) is (self.directory is None):
            raise ValueError("set either dataset or directory")
        if self.resolution is not None and self.short_side is not None:
            raise ValueError("set resolution or short_side, not both")
        return self

    def media(self) -> MediaSettings:
        """Return the settings for the media files."""
        width, height = (None, None) if self.resolution is None else map(int, self.resolution.split("x"))
        return copy_fields(
            MediaSettings,
            self,
            fps=None if self.fps == "keep" else self.fps,
            width=width,
            height=height,
            crop=None if self.crop is None else copy_fields(Rectangle, self.crop),
            cut=None if self.cut is None else copy_fields(Cut, self.cut),
        )

    def to_request(self, dataset: str) -> PreprocessRequest:
        """Return the request for the service, for this dataset."""
        return copy_fields(
            PreprocessRequest,
            self,
            dataset=dataset,
            media=self.media(),
            captions=None if self.captions is None else self.captions.rules(),
            keeps_rate=self.fps == "keep",
            resolutions=tuple(self.resolutions),
            frame_buckets=tuple(self.frame_buckets),
        )


class UploadForm(Strict):
    """The form fields beside the file."""

    prompt: Caption | None = Field(None, description="the caption; for an archive, that of items without one")
    model_type: ModelType | Literal["toy"] | None = Field(None, description="the model type that the file is for")
    fps: float | None = Field(None, gt=0, le=240, description="target frame rate of clips")
    resolution: str | None = Field(None, pattern=r"^[1-9][0-9]{1,4}x[1-9][0-9]{1,4}$", description="such as 512x512")
    dataset: str | None = Field(
        None, pattern=f"^{DATASET_NAME}$", description="created if it does not exist; by default named after the task"
    )

    def settings(self) -> FormSettings:
        """Return the settings for the service."""
        return FormSettings(self.prompt, self.model_type, self.fps, self.resolution, self.dataset)


class PreprocessListQuery(PageQuery):
    """Filters of the list of preprocessing tasks."""

    status: PreprocessStatus | None = Field(None, description="only tasks with this status")
    search: Search | None = Field(None, description="part of id, name or description")
    owner: str | None = Field(None, max_length=64, pattern=NO_NUL, description="only tasks of this user")


class PreprocessPage(Shown):
    """A page of tasks."""

    tasks: list[PreprocessView]
    pagination: Pagination


class PreprocessEvents(Shown):
    """Events of a task."""

    events: list[TaskEvent]
    pagination: Pagination


class GenerateCaptions(Strict):
    """Options for generating captions with a vision model."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"template": "detailed", "dry_run": True}})

    endpoint: Literal["default"] | None = Field(None, description="`default`: the server in CAPTION_ENDPOINT")
    model: Annotated[str, Field(min_length=1, max_length=200, pattern=NO_NUL)] | None = Field(
        None, description="by default CAPTION_MODEL"
    )
    template: PromptTemplate | None = Field(None, strict=False, description="a predefined prompt; detailed by default")
    prompt: Annotated[str, Field(min_length=1, max_length=8000, pattern=NO_NUL)] | None = Field(
        None, description="a custom prompt in place of a template"
    )
    version: Version | None = None
    only_missing: bool = Field(True, description="only items without a caption; false: rewrite all captions")
    frames: int = Field(4, ge=1, le=16, description="frames of a video that are sent to the model")
    max_tokens: int = Field(300, ge=16, le=4000)
    message: Description | None = Field(None, description="message of the new version")
    dry_run: bool = Field(False, description="only return the estimate")

    @model_validator(mode="after")
    def _has_one_prompt(self) -> "GenerateCaptions":
        if self.prompt is not None and self.template is not None:
            raise ValueError("set prompt or template, not both")
        return self

    def to_request(self) -> CaptionRequest:
        """Return the request for the service."""
        return CaptionRequest(
            self.prompt or PROMPTS[self.template or PromptTemplate.DETAILED],
            self.model,
            self.version,
            self.only_missing,
            self.frames,
            self.max_tokens,
            self.message,
        )
