"""An archive's files written into an empty directory, under numbers: no name of an archive becomes a path here."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson

from api.files.archives.entries import SNIFFED_BYTES, Entry, form_of, read_entries
from api.files.archives.limits import MB, ArchiveLimits, BadArchive, NoRoom
from api.files.archives.names import EntryNames, is_litter, is_packed_data, shown

#: The file that lists what was written: one JSON line each.
INDEX = "index"

#: Bytes written between two looks at the disk.
_LOOK_BYTES = 16 * MB


@dataclass(frozen=True, slots=True)
class Expanded:
    """A file that was in the archive: its name there, and the name of the file that has its content now."""

    name: str
    file: str
    size_bytes: int


@dataclass(slots=True)
class ExpansionProgress:
    """How far an expansion has come."""

    entries: int = 0
    written: int = 0


class Expansion:
    """One archive on its way into one directory."""

    def __init__(
        self, archive: Path, target: Path, limits: ArchiveLimits, tell: Callable[[ExpansionProgress], None]
    ) -> None:
        """`target` is an empty directory; `tell` hears of each entry that was written."""
        self._archive = archive
        self._target = target
        self._limits = limits
        self._tell = tell
        self._names = EntryNames(limits.depth)
        self._progress = ExpansionProgress()
        self._looked_at = -_LOOK_BYTES
        self._packed = archive.stat().st_size

    def run(self) -> ExpansionProgress:
        """Writes everything. Raises BadArchive, NoRoom, OSError; what was written is the caller's to remove then."""
        with (self._target / INDEX).open("xb") as index:
            for entry in read_entries(self._archive):
                written = self._take(entry)
                if written is not None:
                    index.write(orjson.dumps(written, option=orjson.OPT_APPEND_NEWLINE))
                self._tell(self._progress)
        if not self._progress.entries:
            raise BadArchive("is empty")
        return self._progress

    def _take(self, entry: Entry) -> Expanded | None:
        self._progress.entries += 1
        if self._progress.entries > self._limits.entries:
            raise BadArchive(f"is one more than the {self._limits.entries:,} entries that are taken", shown(entry.name))
        path = self._names.take(entry.name, entry.is_directory)
        if entry.is_directory:
            return None
        if is_litter(path):
            self._skip(entry)
            return None
        file = str(self._progress.entries)
        return Expanded(path, file, self._write(entry, self._target / file))

    def _skip(self, entry: Entry) -> None:
        size = 0
        for part in entry.content:
            size += len(part)
            self._count(entry, len(part), size)

    def _write(self, entry: Entry, path: Path) -> int:
        size = 0
        with path.open("xb", buffering=0) as file:
            for part in entry.content:
                if size == 0 and form_of(part[:SNIFFED_BYTES]) is not None and not is_packed_data(entry.name):
                    raise BadArchive("is an archive itself: unpack it before", shown(entry.name))
                size += len(part)
                self._count(entry, len(part), size)
                _write_all(file.fileno(), part)
        return size

    def _count(self, entry: Entry, more: int, size: int) -> None:
        """Counts bytes before they are written."""
        self._progress.written += more
        written, limits = self._progress.written, self._limits
        if written > limits.total:
            raise BadArchive(f"goes beyond the {limits.total:,} bytes that are taken", shown(entry.name))
        if written > limits.small and written > limits.ratio * self._packed:
            raise BadArchive(f"makes the archive more than {limits.ratio} times larger than it is", shown(entry.name))
        if entry.packed_size is not None and size > limits.small and size > limits.ratio * max(1, entry.packed_size):
            raise BadArchive(f"becomes more than {limits.ratio} times larger than it is packed", shown(entry.name))
        if written - self._looked_at >= _LOOK_BYTES:
            self._looked_at = written
            self._look_at_disk()

    def _look_at_disk(self) -> None:
        found = os.statvfs(self._target)
        if found.f_bavail * found.f_frsize < self._limits.min_free + _LOOK_BYTES:
            raise NoRoom


def _write_all(descriptor: int, part: bytes) -> None:
    rest = memoryview(part)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
