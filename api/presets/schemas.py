"""Schemas of requests about presets and of their answers."""

from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field

from api.presets.models import OwnPreset
from api.trainers.diffusion_pipe.models.registry import ModelType
from api.util.http.pagination import Pagination
from api.util.http.validation import ONE_LINE, Strict
from api.util.text.masking import mask_secrets
from api.web.schemas import Change, PageQuery, Shown


def _not_blank(name: str) -> str:
    if not name.strip():
        raise ValueError("must not be blank")
    return name.strip()


PresetName = Annotated[
    str,
    Field(min_length=1, max_length=100, pattern=ONE_LINE, description="unique among the presets of its owner"),
    AfterValidator(_not_blank),
    AfterValidator(mask_secrets),
]
_CONFIG = "`config` as in `/training/start`, without secrets"
_DATASET = "`dataset` as in `/training/start`, such as resolutions, without directories"
_SHARED = "whether all users see it"
_EXAMPLE: dict[str, Any] = {
    "name": "Flux, rank 16",
    "model_type": "flux",
    "settings": {"epochs": 40, "adapter": {"type": "lora", "rank": 16, "dtype": "bfloat16"}},
}


class CreatePreset(Strict):
    """The settings of a training, to save under a name."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": _EXAMPLE})

    name: PresetName
    model_type: ModelType = Field(strict=False, description="the model type that the settings are for")
    settings: dict[str, Any] = Field(description=_CONFIG)
    dataset: dict[str, Any] = Field(default_factory=dict, description=_DATASET)
    shared: bool = Field(False, description=_SHARED)


class ChangePreset(Change):
    """Changes of a preset. Omitted fields stay."""

    model_config = ConfigDict(strict=True, json_schema_extra={"minProperties": 1, "example": {"shared": True}})

    name: PresetName | None = Field(None, description="the new name")
    settings: dict[str, Any] | None = Field(None, description=f"replaces all settings: {_CONFIG}")
    dataset: dict[str, Any] | None = Field(None, description=f"replaces all settings of the dataset: {_DATASET}")
    shared: bool | None = Field(None, description=_SHARED)

    def changes(self) -> dict[str, Any]:
        """Return the given fields; null leaves a field as it is."""
        return {name: value for name, value in self if value is not None}


class PresetsQuery(PageQuery):
    """The page of presets."""

    model_type: str | None = Field(None, pattern=r"^[A-Za-z0-9_.\-]{1,64}$", description="only those of this type")


class OwnPresetList(Shown):
    """A page of presets, newest first."""

    presets: list[OwnPreset]
    pagination: Pagination
