"""Parse references to datasets and versions (`name`, `name@3`, `name@sha256:…`), and check paths of items."""

import re
from dataclasses import dataclass

from api.domain.datasets.dataset import DATASET_NAME, MAX_PATH, SHA256
from api.domain.finding import make_finding
from api.errors import Finding, FindingText, VersionNotFound

DATASET_NAME_INVALID = FindingText(
    "dataset_name_invalid",
    '"{name}" is not the name of a dataset.',
    'Use a dataset from GET /datasets: "name", "name@3", or "name@sha256:…".',
)

_REFERENCE = re.compile(rf"({DATASET_NAME})(?:@(.{{1,80}}))?", re.ASCII)
_ORDINAL = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_MANIFEST = re.compile(rf"sha256:({SHA256})", re.ASCII)

#: A path in a dataset: its parts are not empty, . or .., and have no control characters and no lone surrogates.
_PART = r"(?!\.{1,2}(?:/|\Z))[^/\x00-\x1f\x7f\ud800-\udfff]+"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*")

#: The name of the newest version.
LATEST = "latest"


@dataclass(frozen=True, slots=True)
class DatasetReference:
    """A dataset, and one of its versions; None: the newest."""

    name: str
    version: str | None = None

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"


def parse_reference(text: str) -> DatasetReference | None:
    """Parse a reference; return None if the text is not one."""
    match = _REFERENCE.fullmatch(text)
    return None if match is None else DatasetReference(match[1], match[2])


def parse_version(text: str | None) -> int | str | None:
    """Return the number of a version, the SHA-256 of its manifest, or None for the newest. Raises VersionNotFound."""
    if text is None or text == LATEST:
        return None
    if _ORDINAL.fullmatch(text):
        return int(text)
    match = _MANIFEST.fullmatch(text)
    if match is None:
        raise VersionNotFound(
            f'"{text[:80]}" is not a version: use its number, sha256: and the hash of its manifest, or latest.'
        )
    return match[1]


def problem_of_path(path: str) -> Finding | None:
    """Return the reason why no item can have this path, or None."""
    if len(path) > MAX_PATH or not _PATH.fullmatch(path):
        return make_finding(
            "/items",
            FindingText(
                "item_path_invalid",
                "{path} is not a valid path in a dataset, or contains characters that are not allowed.",
            ),
            path=repr(path[:200]),
        )
    return None
