"""What a request for a download asks for, turned into what the program does."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.domain.catalog import CatalogModel, ComponentNeed
from api.errors import Invalid, Mistake, ModelNotFound, PicklesRefused
from api.jobs.downloads.names import check_name
from api.jobs.downloads.refusal import DownloadRefused
from api.jobs.downloads.wish import AddressWish, DownloadWish, RepositoryWish


@dataclass(frozen=True, slots=True)
class DownloadOrder:
    """A request: by model and variant, by repository and files, or by address and hash. `hashes` are by path."""

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
        """As it is kept with its task: what was given."""
        told = {
            "model_id": self.model_id,
            "version": self.version,
            "components": list(self.components),
            "repository": self.repository,
            "revision": self.revision,
            "files": list(self.files),
            "hashes": dict(self.hashes),
            "url": self.url,
            "sha256": self.sha256,
            "name": self.name,
        }
        return {name: value for name, value in told.items() if value}


@dataclass(frozen=True, slots=True)
class DownloadRules:
    """What this service lets downloads do."""

    models_root: Path
    endpoint: str
    allowed_hosts: tuple[str, ...]
    allows_pickles: bool
    min_free_mb: int
    group: int | None = None  #: of the user that trainers run as, if it is another


def make_wish(order: DownloadOrder, models: Mapping[str, CatalogModel], rules: DownloadRules) -> DownloadWish:
    """What the program is told. Raises Invalid, ModelNotFound, PicklesRefused."""
    repositories: list[RepositoryWish] = []
    addresses: list[AddressWish] = []
    if order.model_id is not None:
        repositories = _of_model(order, models, rules.allows_pickles)
    elif order.repository is not None:
        repositories = [RepositoryWish(order.repository, order.revision, order.files, (), order.hashes)]
    elif order.url is not None and order.sha256 is not None:
        name = _file_name(order)
        addresses = [AddressWish(order.url, order.sha256, name, is_named=name == order.name)]
    return DownloadWish(
        root=str(rules.models_root),
        endpoint=rules.endpoint,
        repositories=tuple(repositories),
        addresses=tuple(addresses),
        allowed_hosts=rules.allowed_hosts,
        allows_pickles=rules.allows_pickles,
        min_free_mb=rules.min_free_mb,
        group=rules.group,
    )


def _of_model(order: DownloadOrder, models: Mapping[str, CatalogModel], allows_pickles: bool) -> list[RepositoryWish]:
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
    wanted = [need for need in variant.components if not order.components or need.key in order.components]
    for need in wanted:
        _require_possible(need, allows_pickles)
    return _merge(wanted)


def _require_possible(need: ComponentNeed, allows_pickles: bool) -> None:
    if not need.sources:
        raise ModelNotFound(f"It is not known where {need.title} can be had as safetensors: leave `{need.key}` out.")
    if need.is_pickle and not allows_pickles:
        raise PicklesRefused(
            f"{need.title[0].upper()}{need.title[1:]} is published with pickles, which can hold code: leave"
            f" `{need.key}` out, or let the service run with ALLOW_PICKLED_WEIGHTS=1 if you trust its source."
        )


def _merge(needs: Sequence[ComponentNeed]) -> list[RepositoryWish]:
    """One wish for each source: the first of each component, which is what to take."""
    wishes = []
    for need in needs:
        source = need.sources[0]
        include = () if not source.path else (f"{source.path}*",) if source.is_directory else (source.path,)
        wishes.append(RepositoryWish(source.repository, None, include, source.exclude, {}))
    return wishes


def _file_name(order: DownloadOrder) -> str:
    """What the file of an address is called: as asked, or as the address ends; by its hash where neither can be."""
    if order.name:
        try:
            return check_name(order.name)
        except DownloadRefused as refused:
            remedy = "Write one like cats.safetensors, or a path below the downloads like flux/cats.safetensors."
            raise Invalid(mistakes=[Mistake("/name", str(refused), remedy)]) from refused
    path = (order.url or "").partition("?")[0].partition("#")[0].rstrip("/")
    with suppress(DownloadRefused):
        return check_name(path.rpartition("/")[2])
    return f"{(order.sha256 or '')[:16]}.download"
