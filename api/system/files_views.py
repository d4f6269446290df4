"""Answers about files of the server, for choosing a path."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from api.util.pagination import Pagination


class EntryKind(StrEnum):
    """What an entry is."""

    DIRECTORY = "directory"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A directory or file."""

    name: str  #: its name; of a start, the whole path
    path: str  #: absolute path
    kind: EntryKind  #: what it is
    size_bytes: int | None  #: size of a file; null for directories, or if unknown
    modified_at: datetime | None  #: last change; null if unknown


@dataclass(frozen=True, slots=True)
class FileListing:
    """A page of the entries of a directory: directories first, then files, by name."""

    path: str | None  #: the directory, without links; null: the list of directories in which to start
    parent: str | None  #: the directory above; null if that may not be listed
    entries: tuple[FileEntry, ...]
    truncated: bool  #: whether the directory has more entries than are read
    pagination: Pagination
