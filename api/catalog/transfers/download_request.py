"""Turn a user's request for a download into the request of the program."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from api.domain.finding import make_finding
from api.domain.models.base_model import CatalogModel, ComponentNeed
from api.errors import FindingText, Invalid, ModelNotFound, PicklesRefused
from api.jobs.downloads.request import DownloadRequest, RepositoryRequest, UrlRequest, check_name
from api.jobs.errors import JobFailed
from api.util.copying import copy_fields


@dataclass(frozen=True, slots=True)
class DownloadOrder:
    """A user's request: a model and variant, a repository and files, or a URL and hash. `hashes` are by path."""

    model_id: str | None = None
    version: str | None = None
    components: tuple[str, ...] = ()
    repository: str | None = None
    revision: str | None = None
    files: tuple[str, ...] = ()
    hashes: Mapping[str, str] = field(default_factory=dict)
    url: str | None = None
    sha256: str | None = None
    name: str | None = None

    def as_config(self) -> dict[str, Any]:
        """Return the given fields, as they are stored with the task."""
        return {name: value for name, value in asdict(self).items() if value}


@dataclass(frozen=True, slots=True)
class DownloadRules:
    """The settings that bound downloads."""

    models_root: Path
    endpoint: str
    allowed_hosts: tuple[str, ...]
    allows_pickles: bool
    min_free_mb: int
    group: int | None = None  #: the group of the trainers' user, if trainers run as another user


def make_request(order: DownloadOrder, models: Mapping[str, CatalogModel], rules: DownloadRules) -> DownloadRequest:
    """Return the program's request. Raises Invalid, ModelNotFound, PicklesRefused."""
    repositories: list[RepositoryRequest] = []
    addresses: list[UrlRequest] = []
    if order.model_id is not None:
        repositories = _request_model(order, models, rules.allows_pickles)
    elif order.repository is not None:
        repositories = [RepositoryRequest(order.repository, order.revision, order.files, (), order.hashes)]
    elif order.url is not None and order.sha256 is not None:
        name = _file_name(order)
        addresses = [UrlRequest(order.url, order.sha256, name, is_named=name == order.name)]
    parts = {"root": str(rules.models_root), "repositories": tuple(repositories), "addresses": tuple(addresses)}
    return copy_fields(DownloadRequest, rules, **parts)


def _request_model(
    order: DownloadOrder, models: Mapping[str, CatalogModel], allows_pickles: bool
) -> list[RepositoryRequest]:
    model = models.get(order.model_id or "")
    if model is None:
        raise ModelNotFound(data={"models": list(models)})
    variants = {variant.name: variant for variant in model.variants}
    variant = variants.get(order.version or model.variants[0].name)
    if variant is None:
        raise ModelNotFound(f"{model.title} has no variant of this name.", data={"versions": list(variants)})
    keys = [need.key for need in variant.components]
    unknown = [key for key in order.components if key not in keys]
    if unknown:
        raise ModelNotFound(f"{variant.title} has no component {unknown[0]}.", data={"components": keys})
    needs = [need for need in variant.components if not order.components or need.key in order.components]
    for need in needs:
        _require_possible(need, allows_pickles)
    return _request_sources(needs)


def _require_possible(need: ComponentNeed, allows_pickles: bool) -> None:
    if not need.sources:
        raise ModelNotFound(f"No source of {need.title} as safetensors is known. Leave `{need.key}` out.")
    if need.is_pickle and not allows_pickles:
        raise PicklesRefused(
            f"{need.title[0].upper()}{need.title[1:]} is published as pickles, which can contain code. Leave"
            f" `{need.key}` out; or, if you trust its source, run the service with ALLOW_PICKLED_WEIGHTS=1."
        )


def _request_sources(needs: Sequence[ComponentNeed]) -> list[RepositoryRequest]:
    """Return a request for the first source of each component, which is the recommended one."""
    requests = []
    for need in needs:
        source = need.sources[0]
        include = () if not source.path else (f"{source.path}*",) if source.is_directory else (source.path,)
        requests.append(RepositoryRequest(source.repository, None, include, source.exclude, {}))
    return requests


def _file_name(order: DownloadOrder) -> str:
    """Return the requested name of the file, else the end of its URL, else a name made of its hash."""
    if order.name:
        try:
            return check_name(order.name)
        except JobFailed as refused:
            raise Invalid(
                mistakes=[
                    make_finding(
                        "/name",
                        FindingText(
                            "download_name_refused",
                            "{why}",
                            (
                                "Use a name like cats.safetensors, or a path below the downloads like "
                                "flux/cats.safetensors."
                            ),
                        ),
                        why=str(refused),
                    )
                ]
            ) from refused
    path = (order.url or "").partition("?")[0].partition("#")[0].rstrip("/")
    with suppress(JobFailed):
        return check_name(path.rpartition("/")[2])
    return f"{(order.sha256 or '')[:16]}.download"
