"""What requests about registered models may hold, and what their answers look like."""

from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field

from api.catalog.registry_models import ALIAS, LATEST, MODEL_NAME, ModelDeleted, ModelVersionView, RegisteredModelView
from api.util.masking import mask_secrets
from api.util.pagination import Pagination
from api.util.validation import ONE_TAG, Strict
from api.web.schemas import Change, Envelope, NamedChange, PageQuery, Shown


def _no_word_of_ours(alias: str) -> str:
    if alias == LATEST:
        raise ValueError(f'"{LATEST}" always stands for the newest version')
    return alias


RegistryName = Annotated[str, Field(pattern=f"^{MODEL_NAME}$", description="letters, digits, . _ -")]
Alias = Annotated[
    str,
    Field(pattern=f"^{ALIAS}$", json_schema_extra={"not": {"const": LATEST}}),
    AfterValidator(_no_word_of_ours),
]
Notes = Annotated[str, Field(max_length=4000), AfterValidator(mask_secrets)]
RegistryTag = Annotated[str, Field(min_length=1, max_length=60, pattern=ONE_TAG)]
RegistryTags = Annotated[list[RegistryTag], Field(max_length=50)]
Aliases = Annotated[list[Alias], Field(max_length=50)]
_METADATA_NAME = r"^[A-Za-z0-9][A-Za-z0-9._\-]{0,99}$"
MetadataName = Annotated[str, Field(pattern=_METADATA_NAME)]
MetadataText = Annotated[str, Field(max_length=20_000), AfterValidator(mask_secrets)]


class RegisterModel(Strict):
    """A training's file that becomes a version."""

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

    task_id: str = Field(min_length=1, max_length=80, description="the training that made it")
    artifact: str = Field(min_length=1, max_length=4096, description="its path, as the training's artifacts have it")
    name: RegistryName = Field(description="of the model; it is made where there is none")
    notes: Notes | None = None
    tags: RegistryTags = Field(default_factory=list)
    aliases: Aliases = Field(default_factory=list, description="move to this version")


class ChangeModel(NamedChange):
    """What is to be changed; what is not given stays."""

    model_config = ConfigDict(strict=True, json_schema_extra={"minProperties": 1, "example": {"tags": ["style"]}})

    name: RegistryName | None = Field(None, description="the new name, if any")
    description: Notes | None = Field(None, description="null takes it away")
    tags: RegistryTags | None = Field(None, description="in place of those that it has; null takes them away")


class ChangeModelVersion(Change):
    """What is to be changed; what is not given stays."""

    model_config = ConfigDict(strict=True, json_schema_extra={"minProperties": 1, "example": {"aliases": ["prod"]}})

    notes: Notes | None = Field(None, description="null takes them away")
    tags: RegistryTags | None = Field(None, description="in place of those that it has; null takes them away")
    aliases: Aliases | None = Field(
        None, description="those that it has from now on; they are taken from other versions. null takes them away"
    )

    def changes(self) -> dict[str, Any]:
        """What is given besides the aliases."""
        given = self.model_dump(exclude_unset=True, exclude={"aliases"})
        return {name: value or [] if name == "tags" else value for name, value in given.items()}

    def wanted_aliases(self) -> list[str] | None:
        """The aliases that are given; None: they stay."""
        return (self.aliases or []) if "aliases" in self.model_fields_set else None


class WriteMetadata(Strict):
    """What is written into the header of a copy."""

    model_config = ConfigDict(strict=True, json_schema_extra={"example": {"trigger": "ohwx cat"}})

    trigger: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(mask_secrets)] | None = Field(
        None, description="the word that calls what was trained"
    )
    metadata: Annotated[dict[MetadataName, MetadataText], Field(max_length=100)] = Field(
        default_factory=dict,
        description="further keys; they go before those that the service knows",
        json_schema_extra={"propertyNames": {"pattern": _METADATA_NAME}},
    )


class RegistryListQuery(PageQuery):
    """Says which models are wanted."""

    search: str | None = Field(None, max_length=200, description="part of the name or description, in any case")
    owner: str | None = Field(None, max_length=64, description="only of this user")
    tag: RegistryTag | None = Field(None, description="only with this tag")


class RegistryList(Shown):
    """Registered models, newest first."""

    models: list[RegisteredModelView]
    pagination: Pagination


class ModelVersionList(Shown):
    """Versions, newest first."""

    versions: list[ModelVersionView]
    pagination: Pagination


class RegistryListAnswer(Envelope[RegistryList]):
    """Registered models."""


class RegisteredModelAnswer(Envelope[RegisteredModelView]):
    """A registered model."""


class ModelVersionAnswer(Envelope[ModelVersionView]):
    """A version of a model."""


class ModelVersionListAnswer(Envelope[ModelVersionList]):
    """The versions of a model."""


class ModelDeletedAnswer(Envelope[ModelDeleted]):
    """A model, or a version of it, that is gone."""
