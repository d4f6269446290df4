"""What requests for preprocessing may hold, and what their answers look like."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, JsonValue, model_validator

from api.datasets.captioning import CaptionWanted
from api.datasets.preprocess_views import CaptionGeneration, PreprocessStatus, PreprocessView
from api.datasets.preprocess_wish import CaptionMode, CaptionRules, PreprocessWish, Replacement
from api.datasets.schemas import Caption, DatasetName, Description, ReplaceText, Search, Version
from api.domain.captioning import PROMPTS, PromptTemplate
from api.domain.dataset import DATASET_NAME
from api.domain.media_settings import Cut, CutBy, FirstFrame, MediaSettings, Rectangle
from api.domain.model_memory import ModelType
from api.domain.training import TaskEvent
from api.domain.upload import FormSettings
from api.util.pagination import Pagination
from api.util.validation import NO_NUL, Strict
from api.web.schemas import Envelope, Name, PageQuery, Shown, at_least_one, at_most_one

#: Neither does a trainer take larger pictures, nor is there a clip of more frames a second.
MAX_SIDE = 16_384
MAX_FPS = 240.0

Side = Annotated[int, Field(ge=16, le=MAX_SIDE)]
Reference = Annotated[str, Field(min_length=1, max_length=200, description="name, name@3, or name@sha256:…")]
Size = Annotated[str, Field(pattern=r"^[1-9][0-9]{1,4}x[1-9][0-9]{1,4}$", description="width and height, as 512x512")]

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


class CropWish(Strict):
    """A part of each picture, in its pixels."""

    model_config = ConfigDict(strict=True)

    x: int = Field(0, ge=0, le=10**6)
    y: int = Field(0, ge=0, le=10**6)
    width: int = Field(ge=1, le=10**6)
    height: int = Field(ge=1, le=10**6)


class CutWish(Strict):
    """Where videos are cut."""

    model_config = ConfigDict(strict=True)

    by: CutBy = Field(strict=False)
    seconds: float | None = Field(
        None, ge=0.1, le=86_400, description="the length of a piece; by scene: the longest that one may be"
    )
    min_seconds: float = Field(0.5, ge=0, le=86_400, description="shorter pieces are left out")
    threshold: float = Field(27.0, ge=1, le=255, description="by scene: how much it must differ from the one before")

    @model_validator(mode="after")
    def _has_length(self) -> "CutWish":
        if self.by is CutBy.SECONDS and self.seconds is None:
            raise ValueError("give seconds, the length of a piece")
        if self.seconds is not None and self.seconds < self.min_seconds:
            raise ValueError("min_seconds is more than seconds: no piece would be left")
        return self


class CaptionsWanted(Strict):
    """How captions are normalised: replaced first, then the trigger, then prefix and suffix."""

    model_config = ConfigDict(strict=True)

    mode: CaptionMode = Field(
        CaptionMode.EXISTING, strict=False, description="all: also items without a caption get trigger and prefix"
    )
    prefix: Caption | None = None
    suffix: Caption | None = None
    trigger: Caption | None = Field(None, description="put first where a caption does not have it yet")
    replace: list["ReplaceCaption"] = Field(default_factory=list, max_length=50)

    def rules(self) -> CaptionRules:
        """What is asked for."""
        replaced = tuple(Replacement(each.sought, each.put, each.regex) for each in self.replace)
        return CaptionRules(self.mode, self.prefix, self.suffix, self.trigger, replaced)


class ReplaceCaption(ReplaceText):
    """What is replaced by what."""

    regex: bool = Field(False, description="whether `from` is a pattern of RE2")


class StartPreprocess(Strict):
    """What is to be done to a version of a dataset."""

    model_config = ConfigDict(strict=True, json_schema_extra={"minProperties": 1, "example": _EXAMPLE, "allOf": _RULES})

    dataset: Reference | None = None
    directory: str | None = Field(
        None, max_length=4096, description="in place of dataset: a directory on the server that is registered as one"
    )
    into: DatasetName | None = Field(None, description="the dataset that gets the result; the same by default")
    model_type: str | None = Field(None, max_length=64, description="videos are re-timed to its frames a second")
    fps: Annotated[float, Field(gt=0, le=MAX_FPS)] | Literal["keep"] | None = Field(
        None, description="frames a second in place of the model's; keep: as they are"
    )
    resolution: Size | None = Field(None, description="exactly this size, by scaling and a crop in the middle")
    short_side: Side | None = Field(None, description="larger pictures are scaled down to this shorter side")
    crop: CropWish | None = Field(None, description="what is left of each picture before it is scaled")
    cut: CutWish | None = None
    first_frame: FirstFrame | None = Field(
        None, strict=False, description="of each video, as an image beside it or in its place"
    )
    image_format: Literal["png", "jpeg", "webp"] | None = None
    video_format: Literal["mp4"] | None = Field(None, description="mp4: H.264, which everything reads")
    keep_audio: bool = Field(False, description="of videos that are written anew")
    captions: CaptionsWanted | None = None
    resolutions: list[Side | Annotated[list[Side], Field(min_length=2, max_length=2)]] = Field(
        default_factory=list, max_length=20, description="for dataset.toml"
    )
    frame_buckets: list[Annotated[int, Field(ge=1, le=10_000)]] = Field(
        default_factory=list, max_length=50, description="for dataset.toml"
    )
    num_repeats: Annotated[int, Field(ge=1, le=100_000)] | None = Field(None, description="for dataset.toml")
    name: Name | None = None
    description: Description | None = Field(None, description="what the new version is said to be")
    priority: int = Field(0, ge=-1000, le=1000)

    @model_validator(mode="after")
    def _is_possible(self) -> "StartPreprocess":
        if (self.dataset is None) is (self.directory is None):
            raise ValueError("give either dataset or directory")
        if self.resolution is not None and self.short_side is not None:
            raise ValueError("give resolution or short_side, not both")
        return self

    def media(self) -> MediaSettings:
        """What is made of the files."""
        width, height = (None, None) if self.resolution is None else map(int, self.resolution.split("x"))
        crop = self.crop
        return MediaSettings(
            fps=None if self.fps == "keep" else self.fps,
            width=width,
            height=height,
            short_side=self.short_side,
            crop=None if crop is None else Rectangle(crop.x, crop.y, crop.width, crop.height),
            cut=None if self.cut is None else Cut(**self.cut.model_dump()),
            first_frame=self.first_frame,
            image_format=self.image_format,
            video_format=self.video_format,
            keep_audio=self.keep_audio,
        )

    def wish(self, dataset: str) -> PreprocessWish:
        """What is asked for, of this dataset."""
        return PreprocessWish(
            dataset=dataset,
            into=self.into,
            media=self.media(),
            captions=None if self.captions is None else self.captions.rules(),
            model_type=self.model_type,
            keeps_rate=self.fps == "keep",
            resolutions=tuple(self.resolutions),
            frame_buckets=tuple(self.frame_buckets),
            num_repeats=self.num_repeats,
            name=self.name,
            description=self.description,
            priority=self.priority,
        )


class UploadForm(Strict):
    """What is said beside the file."""

    prompt: Caption | None = Field(None, description="the caption; of an archive, where none came")
    model_type: ModelType | Literal["toy"] | None = Field(None, description="what it is for")
    fps: float | None = Field(None, gt=0, le=240, description="frames a second that a clip is to have")
    resolution: str | None = Field(None, pattern=r"^[1-9][0-9]{1,4}x[1-9][0-9]{1,4}$", description="such as 512x512")
    dataset: str | None = Field(None, pattern=f"^{DATASET_NAME}$", description="made when new; else called as the task")

    def settings(self) -> FormSettings:
        """The same as the service takes it."""
        return FormSettings(self.prompt, self.model_type, self.fps, self.resolution, self.dataset)


class PreprocessListQuery(PageQuery):
    """Says which tasks are wanted."""

    status: PreprocessStatus | None = None
    search: Search | None = Field(None, description="part of id, name or description")
    owner: str | None = Field(None, max_length=64, pattern=NO_NUL, description="only of this user")


class PreprocessAnswer(Envelope[PreprocessView]):
    """One task."""


class PreprocessPage(Shown):
    """A page of tasks."""

    tasks: list[PreprocessView]
    pagination: Pagination


class PreprocessListAnswer(Envelope[PreprocessPage]):
    """Tasks."""


class PreprocessEvents(Shown):
    """What happened."""

    events: list[TaskEvent]
    pagination: Pagination


class PreprocessEventsAnswer(Envelope[PreprocessEvents]):
    """What happened to a task."""


class GenerateCaptions(Strict):
    """What is asked of a vision model."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"template": "detailed", "dry_run": True}})

    endpoint: Literal["default"] | None = Field(None, description="the one of CAPTION_ENDPOINT, by default")
    model: Annotated[str, Field(min_length=1, max_length=200, pattern=NO_NUL)] | None = Field(
        None, description="else CAPTION_MODEL"
    )
    template: PromptTemplate | None = Field(None, strict=False, description="a ready prompt; detailed by default")
    prompt: Annotated[str, Field(min_length=1, max_length=8000, pattern=NO_NUL)] | None = Field(
        None, description="one's own, in place of a template"
    )
    version: Version | None = None
    only_missing: bool = Field(True, description="only items without a caption; false: every one anew")
    frames: int = Field(4, ge=1, le=16, description="pictures of a video that are shown")
    max_tokens: int = Field(300, ge=16, le=4000)
    message: Description | None = Field(None, description="what the new version is said to be")
    dry_run: bool = Field(False, description="only tell what it would take")

    @model_validator(mode="after")
    def _asks_one_thing(self) -> "GenerateCaptions":
        if self.prompt is not None and self.template is not None:
            raise ValueError("give prompt or template, not both")
        return self

    def wanted(self) -> CaptionWanted:
        """What is asked for."""
        return CaptionWanted(
            self.prompt or PROMPTS[self.template or PromptTemplate.DETAILED],
            self.model,
            self.version,
            self.only_missing,
            self.frames,
            self.max_tokens,
            self.message,
        )


class CaptionGenerationAnswer(Envelope[CaptionGeneration]):
    """What captions take, and the task."""
