"""The directories of a dataset as the trainer finds them: on a disk, or listed by who knows their files already."""

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Protocol

from api.trainers.diffusion_pipe import paths
from api.trainers.media import Budget, DecodedFiles, Look, Looks, Unreadable

_MOST_CAPTION_BYTES = 1024 * 1024


class CaptionFile(Enum):
    """What the text file of a caption holds."""

    TEXT = "text"
    EMPTY = "empty"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Listing:
    """The names in a directory, and whether each is a file; `unknown` says why some are missing."""

    names: Mapping[str, bool]
    unknown: str | None = None


class Folder(Protocol):
    """One directory of a dataset."""

    def list(self, budget: Budget) -> Listing:
        """The names in it, within the budget."""
        ...

    def start_of(self, name: str, size: int) -> bytes:
        """The first bytes of a file; none when it cannot be read."""
        ...

    def caption_file(self, name: str) -> CaptionFile:
        """What the file of this name holds as a caption."""
        ...

    def look(self, name: str) -> Look:
        """What an image or a video is. Raises Unreadable."""
        ...

    def decode(self, names: Sequence[str], budget: Budget) -> DecodedFiles:
        """Return what the data of these files adds to their looks, as far as the budget lasts."""
        ...


class FolderOnDisk:
    """A directory of this machine."""

    def __init__(self, path: Path, looks: Looks) -> None:
        self._path = path
        self._looks = looks

    def list(self, budget: Budget) -> Listing:
        """Lists the directory within the budget's entries and time."""
        names: dict[str, bool] = {}
        try:
            with os.scandir(self._path) as entries:
                for entry in entries:
                    if budget.entries <= 0 or (len(names) % 1024 == 1023 and budget.is_spent):
                        return Listing(names, f"only the first {len(names)} entries of a directory were looked at")
                    budget.entries -= 1
                    names[entry.name] = _is_file(entry)
        except OSError:
            return Listing(names, "a directory could not be listed")
        return Listing(names)

    def start_of(self, name: str, size: int) -> bytes:
        """The first bytes of a file in it."""
        return paths.read_start(self._path / name, size)

    def caption_file(self, name: str) -> CaptionFile:
        """Whether a file is a text, and has something in it."""
        path = self._path / name
        if not stat.S_ISREG(paths.mode_of(path) or 0) or not os.access(path, os.R_OK):
            return CaptionFile.UNREADABLE
        text = paths.read_start(path, _MOST_CAPTION_BYTES)
        try:
            text.decode()
        except UnicodeDecodeError as error:
            # A character may be cut in two where the read ended.
            if len(text) < _MOST_CAPTION_BYTES or error.start <= len(text) - 4:
                return CaptionFile.UNREADABLE
        return CaptionFile.TEXT if text.strip() else CaptionFile.EMPTY

    def look(self, name: str) -> Look:
        """What the header of a file tells."""
        return self._looks.look(self._path / name)

    def decode(self, names: Sequence[str], budget: Budget) -> DecodedFiles:
        """Decode these files."""
        found = self._looks.decode([self._path / name for name in names], budget)
        return replace(found, looks={os.path.basename(path): look for path, look in found.looks.items()})


@dataclass(frozen=True, slots=True)
class ListedFolder:
    """A directory whose files are known. A file whose look is None cannot be read."""

    looks: Mapping[str, Look | None]
    captions: Mapping[str, str] = field(default_factory=dict)  #: by the name of the text file

    def list(self, budget: Budget) -> Listing:
        """All of its names: nothing has to be looked for."""
        return Listing(dict.fromkeys((*self.looks, *self.captions), True))

    def start_of(self, name: str, size: int) -> bytes:
        """Nothing: neither archives nor lists of captions are among its files."""
        return b""

    def caption_file(self, name: str) -> CaptionFile:
        """Whether a caption has something in it."""
        return CaptionFile.TEXT if self.captions.get(name, "").strip() else CaptionFile.EMPTY

    def look(self, name: str) -> Look:
        """What is known of a file."""
        look = self.looks.get(name)
        if look is None:
            raise Unreadable
        return look

    def decode(self, names: Sequence[str], budget: Budget) -> DecodedFiles:
        """Return nothing: the looks are those of decoded files already."""
        return DecodedFiles({})


def _is_file(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False
