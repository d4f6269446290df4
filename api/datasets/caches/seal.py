"""The seal of a cache: a digest by which later changes of its files are detected."""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from api.datasets.materials import CACHE

#: Most files and directories of a cache, including its media.
_MOST_ENTRIES = 2_000_000


class Tampered(Exception):
    """A cache contains something that no trainer creates; the message describes it."""


@dataclass(frozen=True, slots=True)
class Seal:
    """A digest over path, size and modification time of each file.

    The counts include only the trainer's cache files.
    """

    digest: str
    files: int
    size_bytes: int


def seal(root: Path) -> Seal | None:
    """Return the seal of the directory with a version and its cache; None if it is missing or empty.

    Raises Tampered for links and special files in the cache; OSError.
    """
    lines, files, size = [], 0, 0
    for path, status, target in _entries(root) if os.path.lexists(root) else ():
        is_cached = f"/{CACHE}/" in f"/{path}"
        if target is not None:
            if is_cached:
                raise Tampered(f"{path} is a link")
            lines.append(f"{path}\0{target}")
            continue
        if not stat.S_ISREG(status.st_mode):
            raise Tampered(f"{path} is not a regular file")
        lines.append(f"{path}\0{status.st_size}\0{status.st_mtime_ns}")
        files, size = files + is_cached, size + status.st_size * is_cached
    if not lines:
        return None
    text = "\n".join(sorted(lines))
    return Seal(hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest(), files, size)


def _entries(root: Path) -> Iterator[tuple[str, os.stat_result, str | None]]:
    """Yield path, status and, for a link, target of everything except directories. Links are not followed."""
    count, start = 0, len(str(root)) + 1
    for above, directories, names, at in os.fwalk(root, follow_symlinks=False, onerror=_raise):
        for name in (*directories, *names):
            count += 1
            if count > _MOST_ENTRIES:
                raise Tampered(f"there are more than {_MOST_ENTRIES:,} files")
            status = os.stat(name, dir_fd=at, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                continue
            path = f"{above}/{name}"[start:]
            yield path, status, os.readlink(name, dir_fd=at) if stat.S_ISLNK(status.st_mode) else None


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
