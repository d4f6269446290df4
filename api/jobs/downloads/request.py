"""The request of a download, which the service writes for the program. Secrets are in the environment instead."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from api.util.addresses import ReachableHosts

#: Files in the output directory of a task: its progress, and a mark that it was cancelled.
STATE, CANCELLED = "state.json", "cancelled"

#: The environment variable with the token for the host of a URL. The service's HF_TOKEN is for its hub only.
ADDRESS_TOKEN = "ADDRESS_TOKEN"  # noqa: S105 - a name


@dataclass(frozen=True, slots=True)
class RepositoryRequest:
    """Files of one repository: those that match `include` (default: all), except those that match `exclude`.

    A missing path is searched for by its file name. `sha256` has the hashes from the user.
    """

    repository: str
    revision: str | None
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    sha256: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class UrlRequest:
    """One file by its URL, which must have this hash."""

    url: str
    sha256: str
    name: str
    is_named: bool = True  #: whether the user gave the name; otherwise the server's name for the file is preferred


@dataclass(frozen=True, slots=True)
class DownloadRequest:
    """The files of one download, and its limits."""

    root: str  #: the models' directory
    endpoint: str  #: of the hub
    repositories: tuple[RepositoryRequest, ...]
    addresses: tuple[UrlRequest, ...]
    allowed_hosts: tuple[str, ...]
    allows_pickles: bool
    min_free_mb: int
    group: int | None = None  #: the group that may read the files, if trainers run as another user

    def as_json(self) -> dict[str, Any]:
        """Return the request as JSON for `from_json`."""
        return {
            "root": self.root,
            "endpoint": self.endpoint,
            "repositories": [
                {
                    "repository": each.repository,
                    "revision": each.revision,
                    "include": list(each.include),
                    "exclude": list(each.exclude),
                    "sha256": dict(each.sha256),
                }
                for each in self.repositories
            ],
            "addresses": [asdict(each) for each in self.addresses],
            "allowed_hosts": list(self.allowed_hosts),
            "allows_pickles": self.allows_pickles,
            "min_free_mb": self.min_free_mb,
            "group": self.group,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "DownloadRequest":
        """Return the request from its JSON. Raises KeyError, TypeError."""
        return cls(
            root=values["root"],
            endpoint=values["endpoint"],
            repositories=tuple(
                RepositoryRequest(
                    each["repository"],
                    each["revision"],
                    _texts(each["include"]),
                    _texts(each["exclude"]),
                    dict(each["sha256"]),
                )
                for each in values["repositories"]
            ),
            addresses=tuple(
                UrlRequest(each["url"], each["sha256"], each["name"], bool(each.get("is_named", True)))
                for each in values["addresses"]
            ),
            allowed_hosts=_texts(values["allowed_hosts"]),
            allows_pickles=bool(values["allows_pickles"]),
            min_free_mb=int(values["min_free_mb"]),
            group=values.get("group"),
        )


def _texts(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)


def reachable_hosts(allowed: tuple[str, ...], endpoint: str) -> ReachableHosts:
    """Return the hosts that a transfer may connect to. The hub is one of them, even at a private address."""
    own = urlsplit(endpoint)
    port = own.port or (443 if own.scheme == "https" else 80)
    return ReachableHosts.of(allowed).and_host(own.hostname or "", port)
