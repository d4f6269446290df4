"""The request of a download, which the service writes for the program. Secrets are in the environment instead."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import TypeAdapter

from api.domain.reason import Reason
from api.domain.tasks.cause import CauseCode
from api.jobs.errors import JobFailed
from api.util.http.addresses import ReachableHosts

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
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "DownloadRequest":
        """Return the request from its JSON. Raise ValueError."""
        return TypeAdapter(cls).validate_python(values)


def reachable_hosts(allowed: tuple[str, ...], endpoint: str) -> ReachableHosts:
    """Return the hosts that a transfer may connect to. The hub is one of them, even at a private address."""
    own = urlsplit(endpoint)
    port = own.port or (443 if own.scheme == "https" else 80)
    return ReachableHosts.of(allowed).and_host(own.hostname or "", port)


#: The limits of a path in characters, of a component in bytes (as in file systems), and of components.
_MAX_PATH, _MAX_COMPONENT, _MAX_COMPONENTS = 1024, 255, 16


def check_name(name: str) -> str:
    """Return the name if it is a plain path below a directory. Raises JobFailed."""
    parts = name.split("/")
    is_plain = (
        0 < len(name) <= _MAX_PATH
        and len(parts) <= _MAX_COMPONENTS
        and all(part not in ("", ".", "..") and len(part.encode(errors="replace")) <= _MAX_COMPONENT for part in parts)
        and all(character.isprintable() and character != "\\" for character in name)
        and not any(part.startswith((".incoming", "~")) or part.endswith(" ") for part in parts)
    )
    if not is_plain:
        raise JobFailed(
            Reason.of(
                "The file name {name} is invalid or leads out of the directory.",
                "download_bad_name",
                name=repr(name[:200]),
            ),
            CauseCode.REFUSED_FILE,
        )
    return name


def read_count(text: str, digits: int = 18) -> int | None:
    """Return a count in a foreign text; None if it is invalid or has more digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= digits else None


def path_below(root: Path, *names: str) -> Path:
    """Return the path of a file below a root, and create its directories. Symbolic links must not lead out.

    Raises JobFailed, OSError.
    """
    path, inside = root.joinpath(*(check_name(name) for name in names)), root.resolve()
    existing = next(each for each in path.parents if each.exists() or each.is_symlink() or each == root)
    # Checked before directories are created, and again afterwards.
    for _ in range(2):
        if not existing.resolve().is_relative_to(inside):
            raise JobFailed(
                Reason.of(
                    "{name} would be outside of the models' directory.", "download_outside", name="/".join(names)
                ),
                CauseCode.REFUSED_FILE,
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        existing = path.parent
    return path
