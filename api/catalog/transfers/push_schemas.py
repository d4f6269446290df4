"""Schemas of requests and answers for pushes."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from api.catalog.registry.model_card import CardFacts
from api.catalog.registry.schemas import RegistryName
from api.catalog.transfers.download_schemas import HubToken, Repository
from api.catalog.transfers.pushes import PushOrder
from api.catalog.transfers.views import PushView
from api.util.http.pagination import Pagination
from api.util.http.validation import Strict
from api.util.text.masking import mask_secrets
from api.web.schemas import PageQuery, Shown


def _check_repository(repository: str) -> str:
    for part in repository.split("/"):
        if ".." in part or "--" in part or part.endswith((".git", ".", "-")):
            raise PydanticCustomError(
                "value_repository_refused",
                "must not contain .. or --, and its parts must not end in . or - or .git",
            )
    return repository


PushTarget = Annotated[Repository, AfterValidator(_check_repository)]

_PART = r"[A-Za-z0-9_][A-Za-z0-9._\-]{0,99}"
PushPath = Annotated[str, Field(max_length=200, pattern=rf"^({_PART}/){{0,5}}{_PART}\.safetensors$")]


class PushesQuery(PageQuery):
    """The filter and page of a list of pushes."""

    model: RegistryName | None = Field(None, description="only pushes of this saved model")


class StartPush(Strict):
    """A request to push a version, with facts for its model card."""

    model_config = ConfigDict(
        strict=True, json_schema_extra={"example": {"repository": "ann/cats", "license": "apache-2.0"}}
    )

    repository: PushTarget = Field(description="a repository on the hub of HF_ENDPOINT")
    revision: str = Field(
        "main", pattern=r"^[A-Za-z0-9][A-Za-z0-9_\-]{0,99}$", description="the branch, created if it is missing"
    )
    path: PushPath | None = Field(
        None, description="the file's path in the repository; default: the version's file name"
    )
    private: bool = Field(True, description="whether a new repository is private")
    create: bool = Field(True, description="whether to create a missing repository")
    message: Annotated[str, Field(min_length=1, max_length=500), AfterValidator(mask_secrets)] | None = Field(
        None, description="the message of the commit"
    )
    card: Literal["own", "always", "never"] = Field(
        "own", description="own: write the card unless the repository has one of someone else"
    )
    samples: bool = Field(True, description="whether to push the version's samples and show them in the card")
    license: str | None = Field(
        None,
        pattern=r"^[a-z0-9][a-z0-9.\-]{0,59}$",
        description="as the hub names it: apache-2.0, cc-by-4.0, other",
    )
    base_model: Repository | None = Field(None, description="the repository of the base model")
    trigger: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(mask_secrets)] | None = Field(
        None, description="the trigger word; default: that of the file's header"
    )
    token: HubToken | None = Field(
        None, description="a token for the hub with write access; default: the service's HF_TOKEN"
    )

    def order(self) -> PushOrder:
        """Return the request for the service, without the token."""
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
        """Return the token; None without one."""
        return None if self.token is None else self.token.get_secret_value()


class PushList(Shown):
    """A page of pushes, newest first."""

    pushes: list[PushView]
    pagination: Pagination
