"""A hub's description of a repository, parsed as untrusted input."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


class UnreadableAnswer(ValueError):
    """The answer is not that of a hub."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository, with the hashes that the hub gives."""

    name: str
    size: int | None
    sha256: str | None
    git_sha1: str | None


@dataclass(frozen=True, slots=True)
class Description:
    """A repository at one commit, or None if the hub does not name it."""

    commit: str | None
    files: tuple[HubFile, ...]


def read_description(answer: bytes) -> Description:
    """Parse an answer. Raises UnreadableAnswer."""
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        raise UnreadableAnswer("it is not JSON") from None
    if not isinstance(found, dict) or not isinstance(found.get("siblings", []), list):
        raise UnreadableAnswer("it has no list of files")
    # A repeated path is one file.
    files = {file.name: file for file in map(_file, found.get("siblings", []))}
    return Description(_matching(_COMMIT, found.get("sha")), tuple(files.values()))


def _file(found: Any) -> HubFile:
    if not isinstance(found, Mapping) or not isinstance(found.get("rfilename"), str):
        raise UnreadableAnswer("it has a file without a name")
    name, size, lfs = found["rfilename"], found.get("size"), found.get("lfs")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < 2**63):
        raise UnreadableAnswer(f"its size of {name[:200]!r} is invalid")
    if lfs is None:
        return HubFile(name, size, None, _matching(_COMMIT, found.get("blobId")))
    sha256 = _matching(_SHA256, lfs.get("sha256")) if isinstance(lfs, Mapping) else None
    if sha256 is None:
        raise UnreadableAnswer(f"its hash of {name[:200]!r} is invalid")
    return HubFile(name, size, sha256, None)


def _matching(pattern: re.Pattern[str], value: Any) -> str | None:
    return value if isinstance(value, str) and pattern.fullmatch(value) else None
