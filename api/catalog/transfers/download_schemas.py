"""Schemas of requests and answers for downloads."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from api.catalog.transfers.download_request import DownloadOrder
from api.catalog.transfers.views import DownloadView
from api.trainers.diffusion_pipe.models.registry import ModelType
from api.util.http.pagination import Pagination
from api.util.http.validation import Strict
from api.util.text.masking import find_credential
from api.web.schemas import Name, Shown, at_least_one, at_most_one, needs

_WAYS = ("model_id", "repository", "url")
_ONE_WAY: list[JsonValue] = [at_most_one("model_id", "repository"), at_most_one("model_id", "url")]
_ONE_WAY += [at_most_one("repository", "url"), at_least_one(*_WAYS), needs("url", "sha256")]

# Civitai and PowerShell show hashes in capitals.
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$"), AfterValidator(str.lower)]

#: A hub's token. A line break in it would start another HTTP header.
_TOKEN = re.compile(r"[\x21-\x7e]{1,500}")


def _one_word(token: SecretStr) -> SecretStr:
    if not _TOKEN.fullmatch(token.get_secret_value()):
        raise PydanticCustomError(
            "value_not_token",
            "must be the token as the hub shows it: 1 to 500 characters without spaces or line breaks",
        )
    return token


HubToken = Annotated[
    SecretStr,
    Field(strict=False, json_schema_extra={"minLength": 1, "maxLength": 500, "pattern": "^[!-~]*$"}),
    AfterValidator(_one_word),
]
Repository = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._\-]{0,95}/[A-Za-z0-9][A-Za-z0-9._\-]{0,95}$")]
FilePath = Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f\x7f]*$")]


def _has_userinfo(url: str) -> bool:
    return "@" in re.split(r"[/?#\\]", url.partition("://")[2], maxsplit=1)[0]


def _has_host(url: str) -> bool:
    try:
        found = urlsplit(url)
        return bool(found.hostname) and found.port != 0
    except ValueError:
        return False


def _check_address(url: str) -> str:
    if _has_userinfo(url):
        raise PydanticCustomError(
            "value_address_with_password",
            "contains a user name or password that others who see the download could read: use `token` instead",
        )
    credential = find_credential(url)
    if credential is not None:
        raise PydanticCustomError(
            "value_address_with_credential",
            "contains a credential ({credential}) that others who see the download could read: remove it from the URL"
            " and set `token`",
            {"credential": credential[:40]},
        )
    if not _has_host(url):
        raise PydanticCustomError("value_address_without_host", "has no host, or a port outside 1 to 65535")
    return url


Address = Annotated[
    str,
    Field(max_length=4096, pattern=r"^https?://[^\s\x00-\x1f\x7f/][^\s\x00-\x1f\x7f]*$"),
    AfterValidator(_check_address),
]


class RepositoryFile(Strict):
    """A file of a repository that must have this hash. A hash also permits a pickle."""

    model_config = ConfigDict(strict=True)

    path: FilePath  #: path in the repository
    sha256: Sha256


class StartDownload(Strict):
    """A request to download a model, files of a repository, or one file by its URL and hash."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "example": {"model_id": "z_image", "version": "turbo"},
            "minProperties": 1,
            "allOf": _ONE_WAY,
        },
    )

    model_id: ModelType | None = Field(None, strict=False, description="a model type to get the files of")
    version: str | None = Field(None, max_length=64, description="the model's variant; default: the first one")
    components: list[Annotated[str, Field(max_length=64)]] | None = Field(
        None, min_length=1, max_length=20, description="download only these keys of [model]"
    )
    repository: Repository | None = Field(None, description="a repository on the hub of HF_ENDPOINT")
    revision: str | None = Field(
        None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/\-]{0,199}$", description="a branch, tag or commit"
    )
    files: list[FilePath | RepositoryFile] | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="paths, optionally with *, or paths with a hash; default: all files",
    )
    url: Address | None = Field(None, description="a file, without keys and signatures: see `token`")
    sha256: Sha256 | None = Field(None, description="the hash that the file at `url` must have")
    name: Name | None = Field(None, description="the name of the download; with `url`, the file's name")
    token: HubToken | None = Field(
        None, description="for the hub, default: the service's HF_TOKEN; with `url`, for its host only"
    )

    @model_validator(mode="after")
    def _one_way(self) -> "StartDownload":
        if sum(getattr(self, way) is not None for way in _WAYS) != 1:
            raise PydanticCustomError("value_download_source", "must have exactly one of model_id, repository and url")
        if self.url is not None and self.sha256 is None:
            raise PydanticCustomError("value_sha256_missing", "must have sha256 with url")
        return self

    def order(self) -> DownloadOrder:
        """Return the request for the service, without the token."""
        files = self.files or []
        return DownloadOrder(
            model_id=None if self.model_id is None else self.model_id.value,
            version=self.version,
            components=tuple(self.components or ()),
            repository=self.repository,
            revision=self.revision,
            files=tuple(each if isinstance(each, str) else each.path for each in files),
            hashes={each.path: each.sha256 for each in files if isinstance(each, RepositoryFile)},
            url=self.url,
            sha256=self.sha256,
            name=self.name,
        )

    def secret(self) -> str | None:
        """Return the token; None without one."""
        return None if self.token is None else self.token.get_secret_value()


class DownloadList(Shown):
    """A page of downloads, newest first."""

    downloads: list[DownloadView]
    pagination: Pagination
