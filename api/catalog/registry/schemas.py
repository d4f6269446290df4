"""Schemas of requests and answers for the library of saved models."""

from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from api.catalog.registry.models import ALIAS, LATEST, MODEL_NAME, ModelVersionView, RegisteredModelView
from api.util.http.pagination import Pagination
from api.util.http.validation import ONE_TAG, Strict
from api.util.text.masking import mask_secrets
from api.web.schemas import Change, NamedChange, PageQuery, Shown


def _check_alias(alias: str) -> str:
    if alias == LATEST:
        raise PydanticCustomError(
            "value_alias_reserved", 'must not be "{alias}", which always names the newest version', {"alias": LATEST}
        )
    return alias


RegistryName = Annotated[str, Field(pattern=f"^{MODEL_NAME}$", description="letters, digits, . _ -")]
Alias = Annotated[
    str,
    Field(pattern=f"^{ALIAS}$", json_schema_extra={"not": {"const": LATEST}}),
    AfterValidator(_check_alias),
]
Notes = Annotated[str, Field(max_length=4000), AfterValidator(mask_secrets)]
RegistryTag = Annotated[str, Field(min_length=1, max_length=60, pattern=ONE_TAG)]
RegistryTags = Annotated[list[RegistryTag], Field(max_length=50)]
Aliases = Annotated[list[Alias], Field(max_length=50)]
_METADATA_NAME = r"^[A-Za-z0-9][A-Za-z0-9._\-]{0,99}$"
MetadataName = Annotated[str, Field(pattern=_METADATA_NAME)]
MetadataText = Annotated[str, Field(max_length=20_000), AfterValidator(mask_secrets)]


class RegisterModel(Strict):
    """A request to register a training's file as a version."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "example": {
                "task_id": "train_20261124_07000001",
                "artifact": "20261124_07-00-05/epoch12/adapter_model.safetensors",
                "name": "cats",
                "aliases": ["prod"],
            }
        },
    )

    task_id: str = Field(min_length=1, max_length=80, description="the training that wrote the file")
    artifact: str = Field(min_length=1, max_length=4096, description="the file's path in the list of artifacts")
    name: RegistryName = Field(description="the model's name; a missing model is created")
    notes: Notes | None = None
    tags: RegistryTags = Field(default_factory=list)
    aliases: Aliases = Field(default_factory=list, description="aliases that move to this version")


class ChangeModel(NamedChange):
    """A request to change a model. Omitted fields stay."""

    model_config = ConfigDict(strict=True, json_schema_extra={"minProperties": 1, "example": {"tags": ["style"]}})

    name: RegistryName | None = Field(None, description="the new name")
    description: Notes | None = Field(None, description="the new description; null removes it")
    tags: RegistryTags | None = Field(None, description="the new list of tags; null removes all")


class ChangeModelVersion(Change):
    """A request to change a version. Omitted fields stay."""

    model_config = ConfigDict(strict=True, json_schema_extra={"minProperties": 1, "example": {"aliases": ["prod"]}})

    notes: Notes | None = Field(None, description="the new notes; null removes them")
    tags: RegistryTags | None = Field(None, description="the new list of tags; null removes all")
    aliases: Aliases | None = Field(
        None, description="the new list of aliases, which move from other versions; null removes all"
    )

    def changes(self) -> dict[str, Any]:
        """Return the given fields except the aliases."""
        given = self.model_dump(exclude_unset=True, exclude={"aliases"})
        return {name: value or [] if name == "tags" else value for name, value in given.items()}

    def wanted_aliases(self) -> list[str] | None:
        """Return the given aliases; None if they stay."""
        return (self.aliases or []) if "aliases" in self.model_fields_set else None


class WriteMetadata(Strict):
    """Metadata for the header of a copy."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"trigger": "ohwx cat"}})

    trigger: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(mask_secrets)] | None = Field(
        None, description="the trigger word"
    )
    metadata: Annotated[dict[MetadataName, MetadataText], Field(max_length=100)] = Field(
        default_factory=dict,
        description="more keys, which replace those of the service",
        json_schema_extra={"propertyNames": {"pattern": _METADATA_NAME}},
    )


class RegistryListQuery(PageQuery):
    """The filters and page of a list of models."""

    search: str | None = Field(None, max_length=200, description="part of the name or description, case-insensitive")
    owner: str | None = Field(None, max_length=64, description="only models of this user")
    tag: RegistryTag | None = Field(None, description="only models with this tag")


class RegistryList(Shown):
    """A page of saved models, newest first."""

    models: list[RegisteredModelView]
    pagination: Pagination


class ModelVersionList(Shown):
    """A page of versions, newest first."""

    versions: list[ModelVersionView]
    pagination: Pagination
