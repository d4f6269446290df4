"""Write an archive's files into an empty directory under numbers: names in the archive never become paths."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson

from api.files.archives.entries import SNIFFED_BYTES, Entry, form_of, read_entries
from api.files.archives.limits import MB, ArchiveLimits, BadArchive, DiskFull
from api.files.archives.names import EntryNames, is_litter, is_packed_data, shown

#: Name of the index of written files: one JSON line each.
INDEX = "index"

#: Bytes written between two checks of the free disk space.
_CHECK_BYTES = 16 * MB


@dataclass(frozen=True, slots=True)
class Expanded:
    """A file of the archive: its name there, and the name of the written file."""

    name: str
    file: str
    size_bytes: int


@dataclass(slots=True)
class ExpansionProgress:
    """The progress of an expansion."""

    entries: int = 0
    written: int = 0


class Expansion:
    """The expansion of one archive into one directory."""

    def __init__(
        self, archive: Path, target: Path, limits: ArchiveLimits, report: Callable[[ExpansionProgress], None]
    ) -> None:
        """`target` is an empty directory; `report` is called after each entry."""
        self._archive = archive
        self._target = target
        self._limits = limits
        self._report = report
        self._names = EntryNames(limits.depth)
        self._progress = ExpansionProgress()
        self._checked_at = -_CHECK_BYTES
        self._packed = archive.stat().st_size

    def run(self) -> ExpansionProgress:
        """Write all files. Raises BadArchive, DiskFull, OSError; then the caller must remove what was written."""
        with (self._target / INDEX).open("xb") as index:
            for entry in read_entries(self._archive):
                written = self._expand(entry)
                if written is not None:
                    index.write(orjson.dumps(written, option=orjson.OPT_APPEND_NEWLINE))
                self._report(self._progress)
        if not self._progress.entries:
            raise BadArchive("is empty")
        return self._progress

    def _expand(self, entry: Entry) -> Expanded | None:
        self._progress.entries += 1
        if self._progress.entries > self._limits.entries:
            raise BadArchive(f"exceeds the limit of {self._limits.entries:,} entries", shown(entry.name))
        path = self._names.add(entry.name, entry.is_directory)
        if entry.is_directory:
            return None
        if is_litter(path):
            size = 0
            for part in entry.content:
                size += len(part)
                self._count(entry, len(part), size)
            return None
        file = str(self._progress.entries)
        return Expanded(path, file, self._write(entry, self._target / file))

    def _write(self, entry: Entry, path: Path) -> int:
        size = 0
        with path.open("xb", buffering=0) as file:
            for part in entry.content:
                if size == 0 and form_of(part[:SNIFFED_BYTES]) is not None and not is_packed_data(entry.name):
                    raise BadArchive("is an archive itself: unpack it first", shown(entry.name))
                size += len(part)
                self._count(entry, len(part), size)
                _write_all(file.fileno(), part)
        return size

    def _count(self, entry: Entry, more: int, size: int) -> None:
        """Count bytes before they are written, and check the limits."""
        self._progress.written += more
        written, limits = self._progress.written, self._limits
        if written > limits.total:
            raise BadArchive(f"exceeds the limit of {limits.total:,} bytes", shown(entry.name))
        if written > limits.small and written > limits.ratio * self._packed:
            raise BadArchive(
                f"makes the unpacked archive more than {limits.ratio} times larger than the archive", shown(entry.name)
            )
        if entry.packed_size is not None and size > limits.small and size > limits.ratio * max(1, entry.packed_size):
            raise BadArchive(f"is more than {limits.ratio} times larger than its compressed size", shown(entry.name))
        if written - self._checked_at >= _CHECK_BYTES:
            self._checked_at = written
            found = os.statvfs(self._target)
            if found.f_bavail * found.f_frsize < self._limits.min_free + _CHECK_BYTES:
                raise DiskFull


def _write_all(descriptor: int, part: bytes) -> None:
    rest = memoryview(part)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
