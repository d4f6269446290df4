"""The files of a registered directory, as a look finds them without reading any, and what has changed of them."""

import errno
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath

from api.models.dataset import MAX_ITEMS, DirectoryWatch, EntryFinding, EntryProblem, WatchState
from api.services.datasets.materials import CACHE
from api.services.datasets.names import problem_of_path
from api.storage.registered_files import RegisteredFile
from api.utils.foreign_trees import walk
from api.utils.frozen import frozen

#: Paths that a look names when something has changed, and entries whose problems it tells.
EXAMPLES = 10

#: By their endings, as the trainer tells them: what else lies in somebody's directory is none of ours.
_MEDIA = frozenset({".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif"}) | frozenset(
    {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v"}
)
_TEXTS = (".txt", "captions.json", "metadata.jsonl")


@frozen
class FileStamp:
    """A file as a look finds it."""

    size_bytes: int
    modified_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> "FileStamp":
        """The file with this status."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)

    def is_as(self, known: RegisteredFile | None) -> bool:
        """Whether it is the file that is known, as far as that can be told without reading it."""
        if known is None:
            return False
        return (self.size_bytes, self.modified_ns, self.inode) == (known.size_bytes, known.modified_ns, known.inode)

    def hashed(self, path: str, sha256: str) -> RegisteredFile:
        """The file as it is remembered."""
        return RegisteredFile(path, self.size_bytes, self.modified_ns, self.inode, sha256)


@dataclass(slots=True)
class DirectoryListing:
    """The files of a directory that can be of a dataset, by path; and those whose names no item can have."""

    files: dict[str, FileStamp] = field(default_factory=dict)
    misnamed: list[EntryFinding] = field(default_factory=list)


def list_directory(root: str) -> DirectoryListing:
    """What lies below a registered directory now, but hidden files and caches. Raises OSError."""
    if os.path.realpath(root, strict=True) != root:
        # It was none when it was registered, and may lead to where nobody permitted.
        raise OSError(errno.ELOOP, "there is a link in its path now")
    found = DirectoryListing()
    for path, status in walk(root, 0, 2 * MAX_ITEMS):
        parts = path.split("/")
        if any(part.startswith(".") or part == CACHE for part in parts) or not (is_media(path) or is_text(path)):
            continue
        problem = problem_of_path(path)
        if problem is None:
            found.files[path] = FileStamp.of(status)
        else:
            found.misnamed.append(finding(path, EntryProblem.NAME, problem))
    found.misnamed.sort(key=lambda each: each.path)
    return found


def finding(path: str, problem: EntryProblem, text: str) -> EntryFinding:
    """What is wrong with an entry; its path is made printable, as a name may hold anything."""
    shown = path if path.isprintable() else repr(path)
    return EntryFinding(shown[:300], problem, text)


def compare(
    listing: DirectoryListing, known: Mapping[str, RegisteredFile], before: DirectoryWatch | None, now: datetime
) -> DirectoryWatch:
    """How a directory differs from its newest version. What `before` said of files that were read still holds."""
    seen = listing.files
    added, removed = sorted(seen.keys() - known.keys()), sorted(known.keys() - seen.keys())
    changed = sorted(path for path in seen.keys() & known.keys() if not seen[path].is_as(known[path]))
    state = WatchState.CHANGED if added or removed or changed else WatchState.SAME
    examples = tuple([*changed, *added, *removed][:EXAMPLES])
    unread = () if before is None else tuple(each for each in before.findings if each.problem != EntryProblem.NAME)
    return DirectoryWatch(
        state,
        now,
        len(added),
        len(removed),
        len(changed),
        examples,
        misnamed=len(listing.misnamed),
        unread=0 if before is None else before.unread,
        findings=first_of(listing.misnamed, unread),
    )


def first_of(misnamed: Sequence[EntryFinding], unread: Sequence[EntryFinding]) -> tuple[EntryFinding, ...]:
    """The findings that are shown: of each kind some."""
    return (*misnamed[: EXAMPLES - len(unread[: EXAMPLES // 2])], *unread)[:EXAMPLES]


def is_media(path: str) -> bool:
    """Whether it is an image or a video by its name."""
    return PurePosixPath(path).suffix.lower() in _MEDIA


def is_text(path: str) -> bool:
    """Whether it may hold captions by its name."""
    return path.lower().endswith(_TEXTS)


def is_still(root: Path, file: RegisteredFile) -> bool:
    """Whether the file is there as it was when it was read."""
    with suppress(OSError):
        return FileStamp.of((root / file.path).lstat()).is_as(file)
    return False
