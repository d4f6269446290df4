"""Schemas of requests about samples of trainings and of their answers."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, JsonValue, Tag

from api.domain.samples.training_sample import TrainingSample
from api.samples.rendering import MOST_CHECKPOINTS
from api.samples.sets.schemas import MOST_TEXT, Seed, SetFields, WorkflowId
from api.training.sample_requests import SetReference, Trigger
from api.util.http.pagination import Pagination
from api.util.http.validation import NO_NUL, Strict
from api.web.schemas import Change, PageQuery, Shown, whole

SavedModelName = Annotated[str, Field(min_length=1, max_length=64, pattern=NO_NUL)]

_PROMPTS: JsonValue = [{"text": "a photo of sks dog on the beach"}, {"text": "a photo of a cat", "seed": 7}]


class SampleSetBody(SetFields):
    """Prompts and settings of this request only."""

    model_config = ConfigDict(strict=True)

    seed: Seed | None = Field(None, description="of prompts without their own; null: a random one, which is stored")
    workflow: dict[str, Any] | WorkflowId | None = Field(
        None,
        description="a workflow of ComfyUI in API format that loads a LoRA, or the id of a registered one; null: the"
        " built-in one of the type",
    )


class StartSampling(Strict):
    """A request for samples of a training's saved models."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "example": {"checkpoints": ["epoch2"], "sample_set": {"prompts": _PROMPTS, "seed": 1}},
        },
    )

    checkpoints: list[SavedModelName] | None = Field(
        None,
        min_length=1,
        max_length=MOST_CHECKPOINTS,
        description="names of saved models (epoch2, step500), or of checkpoints (global_step500), of which LoRAs are"
        " made first; null: the latest saved model",
    )
    sample_set: Annotated[SampleSetBody, Tag("set")] | Annotated[SetReference, Tag("name")] = Field(
        discriminator=Discriminator(lambda value: "name" if isinstance(value, str) else "set"),
        description="the prompts and settings, or the name of a sample set (portraits, portraits@2)",
    )
    trigger: Trigger | None = Field(
        None, description="replaces {trigger}; null: the training's own, or that of all captions"
    )


class RateSample(Change):
    """The rating of a sample. Null removes it."""

    model_config = ConfigDict(strict=True, json_schema_extra={"minProperties": 1, "example": {"rating": 4}})

    rating: Annotated[int, Field(ge=0, le=5), BeforeValidator(whole)] | None = Field(
        None, description="1 to 5, or 0 for a rejected one; null: not rated"
    )


class ChooseModel(Strict):
    """The saved model to choose."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"checkpoint": "epoch2"}})

    checkpoint: SavedModelName = Field(description="its name: epoch2, step500")


class LinkModel(Strict):
    """Where to link a saved model."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {}})

    url: Annotated[str, Field(min_length=1, max_length=2000, pattern=NO_NUL)] | None = Field(
        None, description="an address of `COMFYUI_URL`; null: the first"
    )


class SamplesQuery(PageQuery):
    """Query parameters that select samples."""

    checkpoint: str | None = Field(
        None, max_length=64, pattern=NO_NUL, description="only those of this saved model; `base`: of the base model"
    )
    prompt: str | None = Field(None, max_length=MOST_TEXT, pattern=NO_NUL, description="only those of this prompt")


class SampleThumbnailQuery(Strict):
    """The size of a thumbnail."""

    size: int = Field(256, ge=16, le=512, description="the longer side in pixels, rounded up to 128, 256 or 512")
    file: str | None = Field(
        None,
        pattern="^[0-9a-f]{16}$",
        description="the first 16 digits of the file's `sha256`: the picture may then be cached for ever",
    )


class SampleSheetQuery(Strict):
    """The form and the rows of a contact sheet."""

    format: Literal["png", "html"] = Field("png", description="one picture, or one HTML file with the pictures in it")
    checkpoints: str | None = Field(
        None,
        max_length=4000,
        pattern=NO_NUL,
        description="names of saved models, separated by commas; `base`: the base model; by default all",
    )


class TrainingSampleList(Shown):
    """A page of samples, newest first."""

    samples: list[TrainingSample]
    rendering: list[str] = Field(description="ids of the tasks that render samples of the training, or wait for it")
    pagination: Pagination
