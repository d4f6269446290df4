"""What is to be downloaded, as the service lays it out for the program: no secrets, which come by the environment."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

#: The names of the files in a task's output directory: what is wanted, how far it is, and that it was given up.
WISH, STATE, CANCELLED = "wish.json", "state.json", "cancelled"

#: The variable with the token for the host of an address. The service's own HF_TOKEN is for its hub alone.
ADDRESS_TOKEN = "ADDRESS_TOKEN"  # noqa: S105 - a name


@dataclass(frozen=True, slots=True)
class RepositoryWish:
    """Files of one repository: those that a pattern of `include` fits (all, when there is none) and none of `exclude`.

    A file that is named and not there is looked for by its name alone. `sha256` has the hashes that were given.
    """

    repository: str
    revision: str | None
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    sha256: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AddressWish:
    """One file by its address, which must have this hash."""

    url: str
    sha256: str
    name: str
    is_named: bool = True  #: the request gave the name; else the server's own name for the file goes before it


@dataclass(frozen=True, slots=True)
class DownloadWish:
    """All that one task downloads, and what it may do."""

    root: str  #: the directory that everything goes into
    endpoint: str  #: of the hub
    repositories: tuple[RepositoryWish, ...]
    addresses: tuple[AddressWish, ...]
    allowed_hosts: tuple[str, ...]
    allows_pickles: bool
    min_free_mb: int
    group: int | None = None  #: whose members read what comes, where trainers are of another user

    def as_json(self) -> dict[str, Any]:
        """The wish as JSON, which `from_json` reads."""
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
    def from_json(cls, values: Mapping[str, Any]) -> "DownloadWish":
        """What `as_json` gave. Raises KeyError, TypeError."""
        return cls(
            root=values["root"],
            endpoint=values["endpoint"],
            repositories=tuple(
                RepositoryWish(
                    each["repository"],
                    each["revision"],
                    _texts(each["include"]),
                    _texts(each["exclude"]),
                    dict(each["sha256"]),
                )
                for each in values["repositories"]
            ),
            addresses=tuple(
                AddressWish(each["url"], each["sha256"], each["name"], bool(each.get("is_named", True)))
                for each in values["addresses"]
            ),
            allowed_hosts=_texts(values["allowed_hosts"]),
            allows_pickles=bool(values["allows_pickles"]),
            min_free_mb=int(values["min_free_mb"]),
            group=values.get("group"),
        )


def _texts(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(str(value) for value in values)
