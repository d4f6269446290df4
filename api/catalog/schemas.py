"""What requests about models may hold, and what their answers look like."""

from typing import Any

from pydantic import ConfigDict, Field, JsonValue, model_validator

from api.catalog.views import ModelView, PresetView, WeightsView
from api.domain.model_memory import ModelType
from api.domain.settings_view import ModelSettingsView, RequestFormsView
from api.util.pagination import Pagination
from api.util.validation import Strict
from api.web.schemas import Envelope, PageQuery, Shown, at_least_one, at_most_one

_DATASET = "the directory, or the name of the dataset, that stands in the request"


class PresetQuery(Strict):
    """What stands in a preset's request."""

    dataset: str | None = Field(None, min_length=1, max_length=4096, description=_DATASET)


class PresetListQuery(PageQuery):
    """Which presets, and what stands in their requests."""

    dataset: str | None = Field(None, min_length=1, max_length=4096, description=_DATASET)


class ExamineWeights(Strict):
    """A file of weights, or a directory with the files of one model."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "example": {"path": "/srv/models/ae.safetensors", "model_id": "z_image", "key": "vae"},
            "dependentRequired": {"key": ["model_id"]},
            "minProperties": 1,
            "allOf": [at_most_one("path", "upload_id"), at_least_one("path", "upload_id")],
        },
    )

    path: str | None = Field(
        None, max_length=4096, pattern=r"^/[^\x00]*$", description="where it lies on the server's machine"
    )
    upload_id: str | None = Field(None, pattern=r"^[0-9a-f]{32}$", description="an upload, in place of a path")
    model_id: ModelType | None = Field(None, strict=False, description="a model type for which it is meant")
    key: str | None = Field(
        None, pattern=r"^[a-z0-9_]{1,64}$", description="and the key of [model] that will name it, such as vae_path"
    )

    @model_validator(mode="after")
    def _of_a_model(self) -> "ExamineWeights":
        if self.key is not None and self.model_id is None:
            raise ValueError("a key is one of a model type: give model_id")
        if (self.path is None) == (self.upload_id is None):
            raise ValueError("give one of path and upload_id")
        return self


_ONE_FORM: list[JsonValue] = [at_most_one("config", "config_toml"), at_most_one("dataset", "dataset_toml")]


class ConvertForms(Strict):
    """A configuration in one of its forms."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={"example": {"config_toml": "epochs = 3\n"}, "minProperties": 1, "allOf": _ONE_FORM},
    )

    config: dict[str, Any] | None = Field(None, description="in structured form")
    dataset: dict[str, Any] | None = Field(None, description="in structured form")
    config_toml: str | None = Field(None, description="as text; instead of config")
    dataset_toml: str | None = Field(None, description="as text; instead of dataset")

    @model_validator(mode="after")
    def _one_form(self) -> "ConvertForms":
        if not self.model_fields_set:
            raise ValueError("give config or config_toml, dataset or dataset_toml")
        for name in ("config", "dataset"):
            if getattr(self, name) is not None and getattr(self, f"{name}_toml") is not None:
                raise ValueError(f"give one of {name} and {name}_toml")
        return self


class ModelList(Shown):
    """Model types by name."""

    models: list[ModelView]
    pagination: Pagination


class PresetList(Shown):
    """The presets of one model type."""

    presets: list[PresetView]
    pagination: Pagination


class ModelListAnswer(Envelope[ModelList]):
    """The trainer's model types."""


class PresetListAnswer(Envelope[PresetList]):
    """Ready requests."""


class PresetAnswer(Envelope[PresetView]):
    """A ready request."""


class WeightsAnswer(Envelope[WeightsView]):
    """What a file of weights is."""


class ModelSettingsAnswer(Envelope[ModelSettingsView]):
    """Every key with which a model type can be trained."""


class RequestFormsAnswer(Envelope[RequestFormsView]):
    """A configuration in both forms."""
