"""Read a registered directory in turns of limited time, so that huge files do not delay other directories."""

import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from api.datasets.items.tree import FileTree, TreeFile, bytes_of_text, sort_files, stem_of
from api.datasets.registered.known_files import RegisteredFile
from api.datasets.registered.listing import DirectoryListing, FileStamp, finding, is_media, is_text
from api.domain.datasets.dataset import MAX_ITEMS, MAX_TEXT, EntryFinding, EntryProblem, ManifestItem
from api.files.archives.limits import BadArchive
from api.util.files.foreign_files import TROUBLE, open_plain

_CHUNK = 1024 * 1024
_TRIES = 3

#: Most bytes of all text files of a directory: the limit of its captions in the widest encoding.
_TEXT_BYTES = 4 * MAX_TEXT

#: Placeholder for the hash of a file that was not read: text files need none, others could not be read.
UNREAD = ""


@dataclass(slots=True)
class _OpenFile:
    """A file that is being hashed."""

    path: str
    handle: int
    before: FileStamp
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    read_bytes: int = 0
    tries: int = 1


@dataclass(frozen=True, slots=True)
class ReadDirectory:
    """The result: items, records of the files, and findings about entries."""

    items: tuple[ManifestItem, ...]
    files: tuple[RegisteredFile, ...]
    findings: tuple[EntryFinding, ...]


class DirectoryHashing:
    """Hashes the changed files of a directory, small ones first. Used by one thread."""

    def __init__(
        self,
        root: Path,
        listing: DirectoryListing,
        known: Mapping[str, RegisteredFile],
        is_ending: Callable[[], bool] = lambda: False,
    ) -> None:
        """Create the hasher. Raises BadArchive for a directory that cannot be a dataset."""
        self.listing = listing
        self._root = root
        self._is_ending = is_ending
        self._hashed: dict[str, RegisteredFile] = {}
        self._findings: list[EntryFinding] = []
        self._open: _OpenFile | None = None
        _require_possible(listing)
        self._left = self._plan(known)
        self.total_bytes = sum(listing.files[path].size_bytes for path in self._left)
        self._read_bytes = 0

    def _plan(self, known: Mapping[str, RegisteredFile]) -> list[str]:
        """Return the files to read; the next one is last."""
        left: list[str] = []
        for path, seen in self.listing.files.items():
            before = known.get(path)
            if before is not None and seen.is_as(before) and before.sha256 != UNREAD:
                self._hashed[path] = before
            elif is_text(path):
                self._hashed[path] = seen.hashed(path, UNREAD)
            else:
                left.append(path)
        return sorted(left, key=lambda path: (self.listing.files[path].size_bytes, path), reverse=True)

    @property
    def read_bytes(self) -> int:
        """The number of bytes read so far, of `total_bytes`."""
        return min(self.total_bytes, self._read_bytes + (0 if self._open is None else self._open.read_bytes))

    def read_for(self, seconds: float) -> bool:
        """Read for about this many seconds and return True when everything is read.

        Raises OSError for disk failures.
        """
        until = time.monotonic() + seconds
        while self._open is not None or self._left:
            try:
                if self._open is None:
                    self._open = self._begin(self._left.pop())
                self._read_part(self._open)
            except OSError as error:
                self._skip(error)
            if time.monotonic() >= until or self._is_ending():
                break
        return self._open is None and not self._left

    def _begin(self, path: str, tries: int = 1) -> _OpenFile:
        try:
            handle = open_plain(str(self._root / path), path.count("/"))
        except OSError as error:
            error.filename = path
            raise
        return _OpenFile(path, handle, FileStamp.of(os.fstat(handle)), tries=tries)

    def _read_part(self, file: _OpenFile) -> None:
        part = os.read(file.handle, _CHUNK)
        if part and file.read_bytes <= file.before.size_bytes:
            file.digest.update(part)
            file.read_bytes += len(part)
            return
        after = FileStamp.of(os.fstat(file.handle))
        self._end(file)
        if after == file.before and not part:
            self._hashed[file.path] = after.hashed(file.path, file.digest.hexdigest())
        elif file.tries < _TRIES:
            self._open = self._begin(file.path, file.tries + 1)
        else:
            self._leave_out(file.path, after, "it is being written to")

    def _end(self, file: _OpenFile) -> None:
        os.close(file.handle)
        self._read_bytes += file.before.size_bytes
        self._open = None

    def _skip(self, error: OSError) -> None:
        """Skip the file that could not be opened or read. Raises the error for disk failures."""
        if error.errno in TROUBLE:
            raise error
        path = str(error.filename) if self._open is None else self._open.path
        if self._open is not None:
            self._end(self._open)
        if error.errno == errno.ENOENT:
            return  # deleted meanwhile
        self._leave_out(path, self.listing.files[path], error.strerror or str(error))

    def _leave_out(self, path: str, seen: FileStamp, why: str) -> None:
        self._hashed[path] = seen.hashed(path, UNREAD)
        self._findings.append(finding(path, EntryProblem.UNREADABLE, f"it cannot be read: {why}"))

    def close(self) -> None:
        """Close the file that is being read."""
        if self._open is not None:
            self._end(self._open)

    def finish(self) -> ReadDirectory:
        """Read the captions and return the result. Raises OSError; BadArchive if no media are left."""
        findings = list(self._findings)

        def on_invalid(error: BadArchive) -> None:
            findings.append(finding(error.entry or "", EntryProblem.CAPTION, error.reason))

        files = [_as_file(self._root, path, self.listing.files[path]) for path in sorted(self._hashed)]
        items = tuple(_make_items(sort_files(files, on_invalid), self._hashed))
        if not items:
            raise BadArchive("has no images or videos that can be read")
        return ReadDirectory(items, tuple(self._hashed.values()), tuple(findings))


def _require_possible(listing: DirectoryListing) -> None:
    """Raise BadArchive if the directory cannot be a dataset; checked before any file is read."""
    if not any(is_media(path) for path in listing.files):
        raise BadArchive("has no images or videos")
    if sum(is_media(path) for path in listing.files) > MAX_ITEMS:
        raise BadArchive(f"has more than {MAX_ITEMS:,} images and videos: make two datasets")
    texts = (bytes_of_text(path, seen.size_bytes) for path, seen in listing.files.items() if is_text(path))
    if sum(texts) > _TEXT_BYTES:
        raise BadArchive(f"has captions of more than {_TEXT_BYTES:,} bytes in total")


def _as_file(root: Path, path: str, seen: FileStamp) -> TreeFile:
    return TreeFile(path, root / path, seen.size_bytes, path.count("/"))


def _make_items(tree: FileTree, hashed: Mapping[str, RegisteredFile]) -> Iterator[ManifestItem]:
    for each in tree.pictures:
        file = hashed[each.path]
        if not is_media(each.path) or file.sha256 == UNREAD:
            continue
        stem = stem_of(each.path)
        yield ManifestItem(
            each.path,
            file.sha256,
            file.size_bytes,
            tree.caption_of(each.path),
            _hash_of(tree.masks.get(stem), hashed),
            _hash_of(tree.controls.get(stem), hashed),
        )


def _hash_of(side: TreeFile | None, hashed: Mapping[str, RegisteredFile]) -> str | None:
    """Return the hash of a mask or control; None if it is missing or unreadable, which is reported as a finding."""
    return None if side is None else hashed[side.path].sha256 or None
