"""What requests for pushes may hold, and what their answers look like."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from api.catalog.download_schemas import HubToken, Repository
from api.catalog.model_card import CardFacts
from api.catalog.push_models import PushView
from api.catalog.pushes import PushOrder
from api.catalog.registry_schemas import RegistryName
from api.util.masking import mask_secrets
from api.util.pagination import Pagination
from api.util.validation import Strict
from api.web.schemas import Envelope, PageQuery, Shown


def _no_name_of_a_hub(repository: str) -> str:
    """What a hub takes for no repository: it would refuse it, or the address would lead elsewhere."""
    for part in repository.split("/"):
        if ".." in part or "--" in part or part.endswith((".git", ".", "-")):
            raise ValueError("no part of it may have .. or -- in it, or end in . or - or .git")
    return repository


PushTarget = Annotated[Repository, AfterValidator(_no_name_of_a_hub)]

_PART = r"[A-Za-z0-9_][A-Za-z0-9._\-]{0,99}"
PushPath = Annotated[str, Field(max_length=200, pattern=rf"^({_PART}/){{0,5}}{_PART}\.safetensors$")]


class PushesQuery(PageQuery):
    """Says which pushes are wanted."""

    model: RegistryName | None = Field(None, description="only those of versions of this registered model")


class StartPush(Strict):
    """Where a version goes, and what its card says besides what is known of it."""

    model_config = ConfigDict(
        strict=True, json_schema_extra={"example": {"repository": "ann/cats", "license": "apache-2.0"}}
    )

    repository: PushTarget = Field(description="on the hub of HF_ENDPOINT")
    revision: str = Field(
        "main", pattern=r"^[A-Za-z0-9][A-Za-z0-9_\-]{0,99}$", description="the branch; made where there is none"
    )
    path: PushPath | None = Field(
        None, description="of the file in the repository; as its download is called otherwise"
    )
    private: bool = Field(True, description="whether a repository that is made is private")
    create: bool = Field(True, description="whether the repository is made where there is none")
    message: Annotated[str, Field(min_length=1, max_length=500), AfterValidator(mask_secrets)] | None = Field(
        None, description="of the commit"
    )
    card: Literal["own", "always", "never"] = Field(
        "own", description="own: the card is written where there is none, or one that the service wrote"
    )
    samples: bool = Field(True, description="whether the version's samples go along, and are shown by the card")
    license: str | None = Field(
        None, pattern=r"^[a-z0-9][a-z0-9.\-]{0,59}$", description="as the hub calls it: apache-2.0, cc-by-4.0, other"
    )
    base_model: Repository | None = Field(None, description="the repository of the model that it was trained on")
    trigger: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(mask_secrets)] | None = Field(
        None, description="the word that calls what was trained; that of the file's header otherwise"
    )
    token: HubToken | None = Field(
        None, description="for the hub, with write access; the service's own HF_TOKEN otherwise"
    )

    def order(self) -> PushOrder:
        """The order as the service takes it; without the token."""
        return PushOrder(
            repository=self.repository,
            revision=self.revision,
            path=self.path,
            is_private=self.private,
            creates=self.create,
            message=self.message,
            card=self.card,
            samples=self.samples,
            facts=CardFacts(self.license, self.base_model, self.trigger),
        )

    def secret(self) -> str | None:
        """The token."""
        return None if self.token is None else self.token.get_secret_value()


class PushList(Shown):
    """Pushes, newest first."""

    pushes: list[PushView]
    pagination: Pagination


class PushAnswer(Envelope[PushView]):
    """A push."""


class PushListAnswer(Envelope[PushList]):
    """Pushes."""
