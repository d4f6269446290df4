"""The files of a registered directory, as a look finds them without reading any, and what has changed of them."""

import errno
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath

from api.datasets.materials import CACHE
from api.datasets.names import problem_of_path
from api.datasets.registered_files import RegisteredFile
from api.domain.dataset import MAX_ITEMS, DirectoryWatch, EntryFinding, EntryProblem, WatchState
from api.trainers.media import IMAGE_SUFFIXES, PASSED_OVER, is_opened
from api.util.foreign_trees import walk

#: Paths that a look names when something has changed, and entries whose problems it tells.
EXAMPLES = 10

#: Endings of files that are left out, with why.
_ARCHIVES = frozenset({".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar"})
_TEXTS = (".txt", "captions.json", "metadata.jsonl")


@dataclass(frozen=True, slots=True)
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
    left_out: list[str] = field(default_factory=list)  #: paths of files that no trainer opens


def list_directory(root: str) -> DirectoryListing:
    """What lies below a registered directory now, but hidden files and caches. Raises OSError."""
    if os.path.realpath(root, strict=True) != root:
        # It was none when it was registered, and may lead to where nobody permitted.
        raise OSError(errno.ELOOP, "there is a link in its path now")
    found = DirectoryListing()
    for path, status in walk(root, 0, 2 * MAX_ITEMS):
        parts = path.split("/")
        if any(part.startswith(".") or part == CACHE for part in parts):
            continue
        if not (is_media(path) or is_text(path)):
            found.left_out.append(path)
            continue
        problem = problem_of_path(path)
        if problem is None:
            found.files[path] = FileStamp.of(status)
        else:
            found.misnamed.append(finding(path, EntryProblem.NAME, problem))
    found.misnamed.sort(key=lambda each: each.path)
    found.left_out.sort()
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
    of_names = (EntryProblem.NAME, EntryProblem.NOT_MEDIA)
    unread = () if before is None else tuple(each for each in before.findings if each.problem not in of_names)
    return DirectoryWatch(
        state,
        now,
        len(added),
        len(removed),
        len(changed),
        examples,
        misnamed=len(listing.misnamed),
        unread=0 if before is None else before.unread,
        left_out=len(listing.left_out),
        findings=first_of(listing, unread),
    )


def first_of(listing: DirectoryListing, unread: Sequence[EntryFinding]) -> tuple[EntryFinding, ...]:
    """The findings that are shown: of each kind some."""
    left_out = [finding(path, EntryProblem.NOT_MEDIA, _why_left_out(path)) for path in listing.left_out[:EXAMPLES]]
    misnamed = listing.misnamed[: EXAMPLES - len(unread[: EXAMPLES // 2])]
    first = (*misnamed, *unread)[: EXAMPLES - len(left_out[: EXAMPLES // 5])]
    return (*first, *left_out)[:EXAMPLES]


def _why_left_out(path: str) -> str:
    suffix = PurePosixPath(path).suffix.lower()
    if not suffix:
        return "it has no ending: give it that of its format"
    if suffix in _ARCHIVES:
        return "archives are not looked into: unpack it, or upload it"
    if suffix in PASSED_OVER:
        return f"trainers pass over {suffix} files"
    if suffix in IMAGE_SUFFIXES:
        return f"trainers cannot open {suffix} files: convert it to PNG or JPEG"
    return f"trainers open no {suffix} files: convert it, if it is an image or a video"


def is_media(path: str) -> bool:
    """Whether a trainer opens it as an image or a video, by its name."""
    return is_opened(path)


def is_text(path: str) -> bool:
    """Whether it may hold captions by its name."""
    return path.lower().endswith(_TEXTS)


def is_still(root: Path, file: RegisteredFile) -> bool:
    """Whether the file is there as it was when it was read."""
    with suppress(OSError):
        return FileStamp.of((root / file.path).lstat()).is_as(file)
    return False
