"""The directories of a dataset as the trainer sees them: on disk, or as a list of known files."""

import codecs
import io
import os
import stat
import tarfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Protocol

from api.domain.reason import Reason
from api.trainers.diffusion_pipe.config import paths
from api.trainers.media import Budget, DecodedFiles, MediaInfo, MediaInfoCache, Unreadable

_MAX_CAPTION_BYTES = 1024 * 1024

#: The longest header of a file in an archive.
_MAX_HEADER_BYTES = 1024 * 1024


class CaptionFile(Enum):
    """The content of a caption file."""

    TEXT = "text"
    EMPTY = "empty"
    MARKED = "marked"  #: starts with a byte-order mark
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Listing:
    """The names in a directory, and whether each is a file; `unknown` says why names are missing."""

    names: Mapping[str, bool]
    unknown: Reason | None = None


class Folder(Protocol):
    """One directory of a dataset."""

    def list(self, budget: Budget) -> Listing:
        """Return the names in it, within the budget."""

    def start_of(self, name: str, size: int) -> bytes:
        """Return the first bytes of a file, empty if it cannot be read."""

    def archive_names(self, name: str, budget: Budget) -> Sequence[str]:
        """Return the names in a plain .tar, as far as they can be read within the budget."""

    def caption_file(self, name: str) -> CaptionFile:
        """Return the kind of content of a caption file."""

    def read_info(self, name: str) -> MediaInfo:
        """Return the properties of an image or video. Raise Unreadable."""

    def decode(self, names: Sequence[str], budget: Budget) -> DecodedFiles:
        """Return the properties of these files from their data, as far as the budget lasts."""


class _BoundedFile(io.FileIO):
    """A file from which only small pieces are read, so that a wrong length in an archive costs no memory."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes. Raise OSError if they are more than any header needs."""
        if size is None or not 0 <= size <= _MAX_HEADER_BYTES:
            raise OSError(f"a header of {size} bytes")
        return super().read(size)


class FolderOnDisk:
    """A directory on this machine."""

    def __init__(self, path: Path, cache: MediaInfoCache) -> None:
        self._path = path
        self._cache = cache

    def list(self, budget: Budget) -> Listing:
        """List the directory within the budget's entries and time."""
        names: dict[str, bool] = {}
        try:
            with os.scandir(self._path) as entries:
                for entry in entries:
                    if budget.entries <= 0 or (len(names) % 1024 == 1023 and budget.is_spent):
                        why = Reason.of(
                            "only the first {n} entries of a directory were examined",
                            "directory_too_long",
                            n=len(names),
                        )
                        return Listing(names, why)
                    budget.entries -= 1
                    names[entry.name] = _is_file(entry)
        except OSError:
            return Listing(names, Reason.of("a directory could not be listed", "directory_not_listed"))
        return Listing(names)

    def start_of(self, name: str, size: int) -> bytes:
        """Return the first bytes of a file."""
        return paths.read_start(self._path / name, size)

    def archive_names(self, name: str, budget: Budget) -> Sequence[str]:
        """Return the names in a plain .tar, as far as they can be read within the budget."""
        names: list[str] = []
        path = self._path / name
        if not stat.S_ISREG(paths.mode_of(path) or 0):
            return names
        with (
            suppress(OSError, tarfile.TarError),
            _BoundedFile(path) as file,
            tarfile.open(fileobj=file, mode="r:") as tar,
        ):
            for member in tar:
                if budget.is_spent:
                    break
                names.append(member.name)
        return names

    def caption_file(self, name: str) -> CaptionFile:
        """Return whether a file is readable text, and whether it is empty."""
        path = self._path / name
        if not stat.S_ISREG(paths.mode_of(path) or 0) or not os.access(path, os.R_OK):
            return CaptionFile.UNREADABLE
        text = paths.read_start(path, _MAX_CAPTION_BYTES)
        try:
            text.decode()
        except UnicodeDecodeError as error:
            # The read may have ended within a multi-byte character.
            if len(text) < _MAX_CAPTION_BYTES or error.start <= len(text) - 4:
                return CaptionFile.UNREADABLE
        if text.startswith(codecs.BOM_UTF8):
            return CaptionFile.MARKED
        return CaptionFile.TEXT if text.strip() else CaptionFile.EMPTY

    def read_info(self, name: str) -> MediaInfo:
        """Return the properties in a file's header."""
        return self._cache.read_info(self._path / name)

    def decode(self, names: Sequence[str], budget: Budget) -> DecodedFiles:
        """Decode these files."""
        found = self._cache.decode([self._path / name for name in names], budget)
        return replace(found, infos={os.path.basename(path): info for path, info in found.infos.items()})


@dataclass(frozen=True, slots=True)
class ListedFolder:
    """A directory with known files. A file whose properties are None cannot be read."""

    infos: Mapping[str, MediaInfo | None]
    captions: Mapping[str, str] = field(default_factory=dict)  #: by the name of the text file

    def list(self, budget: Budget) -> Listing:
        """Return all names; nothing is read."""
        return Listing(dict.fromkeys((*self.infos, *self.captions), True))

    def start_of(self, name: str, size: int) -> bytes:
        """Return nothing, because the list contains no archives and no lists of captions."""
        return b""

    def archive_names(self, name: str, budget: Budget) -> Sequence[str]:
        """Return nothing, because the list contains no archives."""
        return ()

    def caption_file(self, name: str) -> CaptionFile:
        """Return whether a caption is empty."""
        return CaptionFile.TEXT if self.captions.get(name, "").strip() else CaptionFile.EMPTY

    def read_info(self, name: str) -> MediaInfo:
        """Return the known properties of a file."""
        info = self.infos.get(name)
        if info is None:
            raise Unreadable
        return info

    def decode(self, names: Sequence[str], budget: Budget) -> DecodedFiles:
        """Return nothing, because the properties already come from decoded files."""
        return DecodedFiles({})


def _is_file(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False
