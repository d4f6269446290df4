"""List the files of a registered directory without reading them, and find changes."""

import errno
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath

from api.datasets.materials import CACHE
from api.datasets.names import problem_of_path
from api.datasets.registered.known_files import RegisteredFile
from api.domain.datasets.dataset import MAX_ITEMS, DirectoryWatch, EntryFinding, EntryProblem, WatchState
from api.trainers.media import IGNORED_SUFFIXES, IMAGE_SUFFIXES, is_opened
from api.util.files.foreign_trees import walk

#: Most paths and most findings in a report of changes.
EXAMPLES = 10

#: Suffixes of archives, which are ignored, and endings of files with captions.
_ARCHIVES = frozenset({".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar"})
_TEXTS = (".txt", "captions.json", "metadata.jsonl")


@dataclass(frozen=True, slots=True)
class FileStamp:
    """Size, modification time and inode of a file."""

    size_bytes: int
    modified_ns: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> "FileStamp":
        """Return the stamp of a file with this status."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino)

    def is_as(self, known: RegisteredFile | None) -> bool:
        """Return whether this is the known file, as far as its stamp shows."""
        if known is None:
            return False
        return (self.size_bytes, self.modified_ns, self.inode) == (known.size_bytes, known.modified_ns, known.inode)

    def hashed(self, path: str, sha256: str) -> RegisteredFile:
        """Return the record of the file with its hash."""
        return RegisteredFile(path, self.size_bytes, self.modified_ns, self.inode, sha256)


@dataclass(slots=True)
class DirectoryListing:
    """The usable files of a directory by path, and those whose names no item can have."""

    files: dict[str, FileStamp] = field(default_factory=dict)
    misnamed: list[EntryFinding] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)  #: paths of files that trainers cannot open


def list_directory(root: str) -> DirectoryListing:
    """List the files below a registered directory, except hidden files and caches. Raises OSError."""
    if os.path.realpath(root, strict=True) != root:
        # It had no link when it was registered. A link may lead to a directory that is not permitted.
        raise OSError(errno.ELOOP, "its path now contains a link")
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
            found.misnamed.append(finding(path, EntryProblem.NAME, problem.message))
    found.misnamed.sort(key=lambda each: each.path)
    found.left_out.sort()
    return found


def finding(path: str, problem: EntryProblem, text: str) -> EntryFinding:
    """Return a finding about an entry, with a printable path: a file name may contain any character."""
    shown = path if path.isprintable() else repr(path)
    return EntryFinding(shown[:300], problem, text)


def compare(
    listing: DirectoryListing, known: Mapping[str, RegisteredFile], before: DirectoryWatch | None, now: datetime
) -> DirectoryWatch:
    """Compare a directory with its newest version. Findings of `before` about file contents are retained."""
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
    """Select the findings to show: some of each kind."""
    left_out = [finding(path, EntryProblem.NOT_MEDIA, _why_left_out(path)) for path in listing.left_out[:EXAMPLES]]
    misnamed = listing.misnamed[: EXAMPLES - len(unread[: EXAMPLES // 2])]
    first = (*misnamed, *unread)[: EXAMPLES - len(left_out[: EXAMPLES // 5])]
    return (*first, *left_out)[:EXAMPLES]


def _why_left_out(path: str) -> str:
    suffix = PurePosixPath(path).suffix.lower()
    if not suffix:
        return "its name has no suffix: add that of its format"
    if suffix in _ARCHIVES:
        return "archives are not read: unpack it, or upload it"
    if suffix in IGNORED_SUFFIXES:
        return f"trainers ignore {suffix} files"
    if suffix in IMAGE_SUFFIXES:
        return f"trainers cannot open {suffix} files: convert it to PNG or JPEG"
    return f"trainers cannot open {suffix} files: convert it if it is an image or a video"


def is_media(path: str) -> bool:
    """Return whether a trainer opens a file with this name as an image or a video."""
    return is_opened(path)


def is_text(path: str) -> bool:
    """Return whether a file with this name may contain captions."""
    return path.lower().endswith(_TEXTS)


def is_still(root: Path, file: RegisteredFile) -> bool:
    """Return whether the file is unchanged since it was read."""
    with suppress(OSError):
        return FileStamp.of((root / file.path).lstat()).is_as(file)
    return False
