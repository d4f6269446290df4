"""What is to be done: the items of a preprocessing, and what became of each. JSON at both edges."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from api.domain.media_settings import MediaSettings

#: Raised whenever the program makes something else of the same file and settings: what was made before counts no more.
PROGRAM_VERSION = 1


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One file to work on, and its side files; each lies in the directory of the sources under its SHA-256."""

    path: str  #: what it is called in the dataset
    sha256: str
    size_bytes: int
    key: str
    mask: str | None = None
    control: str | None = None

    def as_json(self) -> bytes:
        """A line of the list of items."""
        return orjson.dumps(asdict(self), option=orjson.OPT_APPEND_NEWLINE)


@dataclass(frozen=True, slots=True)
class Made:
    """One file that was made of an item. `name`: its file in the directory of results; None: the source as it is."""

    suffix: str  #: what its name has behind that of the source: _000, _first
    extension: str | None  #: with a dot; None: that of the source
    name: str | None = None
    mask: str | None = None  #: the file of its mask; None: the source's own, or none
    control: str | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    duration: float | None = None
    frame_count: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """What became of an item. With a problem it stays as it was."""

    key: str
    made: tuple[Made, ...]
    problem: str | None = None
    dropped: int = 0  #: pieces that were too short

    def as_json(self) -> bytes:
        """What `read_record` reads."""
        return orjson.dumps(asdict(self))


def read_record(content: bytes) -> Record:
    """A record from its JSON, which a program has written that decodes hostile files. Raises ValueError."""
    try:
        fields = orjson.loads(content)
        made = tuple(_read_made(each) for each in fields["made"])
        problem = fields["problem"]
        return Record(str(fields["key"]), made, None if problem is None else str(problem)[:500], int(fields["dropped"]))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"this is no record of an item: {error}") from None


def _read_made(given: Mapping[str, Any]) -> Made:
    made = Made(**given)
    names = (made.name, made.mask, made.control)
    if any(name is not None and (not isinstance(name, str) or "/" in name or name.startswith(".")) for name in names):
        raise ValueError("a file was made outside of its directory")
    texts = (made.suffix, made.extension or "")
    if any(not isinstance(text, str) or "/" in text or len(text) > 20 for text in texts):
        raise ValueError("a file was given a name that is none")
    return made


def key_of(hashes: tuple[str | None, ...], settings: MediaSettings) -> str:
    """What names the outcome of the settings for files with these hashes: the media file, its mask, its control."""
    said = orjson.dumps([PROGRAM_VERSION, hashes, settings.as_json()], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(said).hexdigest()
