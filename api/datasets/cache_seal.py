"""What is kept of the files of a cache, by which it is seen later whether they are still the same."""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from api.datasets.materials import CACHE

#: The most files and directories of a cache, its media included.
_MOST_ENTRIES = 2_000_000


class Tampered(Exception):
    """Something lies there that no trainer of ours leaves: what, in words."""


@dataclass(frozen=True, slots=True)
class Seal:
    """A digest over path, size and time of change of each file; figures are those of the trainer's cache alone."""

    digest: str
    files: int
    size_bytes: int


def seal(root: Path) -> Seal | None:
    """The seal of the directory that a version and its cache lie in; None where there is none.

    Raises Tampered for links, and whatever else is no file, in the cache; OSError.
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
            raise Tampered(f"{path} is no file")
        lines.append(f"{path}\0{status.st_size}\0{status.st_mtime_ns}")
        files, size = files + is_cached, size + status.st_size * is_cached
    if not lines:
        return None
    text = "\n".join(sorted(lines))
    return Seal(hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest(), files, size)


def _entries(root: Path) -> Iterator[tuple[str, os.stat_result, str | None]]:
    """The path, status and, for a link, target of all that is no directory. No link is followed."""
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
