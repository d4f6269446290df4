"""Schemas of requests and answers for the model catalog."""

from typing import Any

from pydantic import ConfigDict, Field, JsonValue, model_validator
from pydantic_core import PydanticCustomError

from api.catalog.base_models.views import ModelView, PresetView
from api.trainers.diffusion_pipe.models.registry import ModelType
from api.util.http.pagination import Pagination
from api.util.http.validation import Strict
from api.web.schemas import PageQuery, Shown, at_least_one, at_most_one

_DATASET = "the directory or the name of the dataset for the request"


class PresetQuery(Strict):
    """Options of a preset's request."""

    dataset: str | None = Field(None, min_length=1, max_length=4096, description=_DATASET)


class PresetListQuery(PageQuery):
    """The page of presets, and options of their requests."""

    dataset: str | None = Field(None, min_length=1, max_length=4096, description=_DATASET)


class ExamineWeights(Strict):
    """A request to examine a weight file, or a directory with the files of one model."""

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
        None, max_length=4096, pattern=r"^/[^\x00]*$", description="the path on the server's machine"
    )
    upload_id: str | None = Field(None, pattern=r"^[0-9a-f]{32}$", description="an upload, instead of a path")
    model_id: ModelType | None = Field(None, strict=False, description="the model type to check the file for")
    key: str | None = Field(
        None, pattern=r"^[a-z0-9_]{1,64}$", description="the key of [model] to check the file for, such as vae_path"
    )

    @model_validator(mode="after")
    def _of_a_model(self) -> "ExamineWeights":
        if self.key is not None and self.model_id is None:
            raise PydanticCustomError("value_key_without_model", "must have model_id with key")
        if (self.path is None) == (self.upload_id is None):
            raise PydanticCustomError("value_path_or_upload", "must have exactly one of path and upload_id")
        return self


_ONE_FORM: list[JsonValue] = [at_most_one("config", "config_toml"), at_most_one("dataset", "dataset_toml")]


class ConvertForms(Strict):
    """A request to convert a configuration."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={"example": {"config_toml": "epochs = 3\n"}, "minProperties": 1, "allOf": _ONE_FORM},
    )

    config: dict[str, Any] | None = Field(None, description="as values")
    dataset: dict[str, Any] | None = Field(None, description="as values")
    config_toml: str | None = Field(None, description="as TOML, instead of config")
    dataset_toml: str | None = Field(None, description="as TOML, instead of dataset")

    @model_validator(mode="after")
    def _one_form(self) -> "ConvertForms":
        if not self.model_fields_set:
            raise PydanticCustomError(
                "value_forms_missing", "must have config or config_toml, or dataset or dataset_toml"
            )
        for name in ("config", "dataset"):
            if getattr(self, name) is not None and getattr(self, f"{name}_toml") is not None:
                raise PydanticCustomError(
                    "value_form_twice", "must not have both {name} and {name}_toml", {"name": name}
                )
        return self


class ModelList(Shown):
    """A page of model types."""

    models: list[ModelView]
    pagination: Pagination


class PresetList(Shown):
    """A page of presets of one model type."""

    presets: list[PresetView]
    pagination: Pagination
