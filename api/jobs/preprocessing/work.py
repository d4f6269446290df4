"""The items of a preprocessing and their records, as JSON."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from api.domain.datasets.media_settings import MediaSettings

#: Increase it when the same file and settings give another result, so that earlier results are not reused.
PROGRAM_VERSION = 1


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One file with its mask and control image. Each is in the sources directory under its SHA-256."""

    path: str  #: in the dataset
    sha256: str
    size_bytes: int
    key: str
    mask: str | None = None
    control: str | None = None

    def as_json(self) -> bytes:
        """Return the line in the list of items."""
        return orjson.dumps(asdict(self), option=orjson.OPT_APPEND_NEWLINE)


@dataclass(frozen=True, slots=True)
class Made:
    """One result of an item. `name` is its file in the results directory; None: the unchanged source."""

    suffix: str  #: the end of its name after that of the source: _000, _first
    extension: str | None  #: with the dot; None: that of the source
    name: str | None = None
    mask: str | None = None  #: the file of its mask; None: that of the source, if any
    control: str | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    duration: float | None = None
    frame_count: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """The outcome of an item. With a problem, the item stays unchanged."""

    key: str
    made: tuple[Made, ...]
    problem: str | None = None
    dropped: int = 0  #: pieces that were too short

    def as_json(self) -> bytes:
        """Return the JSON for `read_record`."""
        return orjson.dumps(asdict(self))


def read_record(content: bytes) -> Record:
    """Parse a record. It is untrusted, because its writer decodes untrusted files. Raises ValueError."""
    try:
        fields = orjson.loads(content)
        made = tuple(_read_made(each) for each in fields["made"])
        problem = fields["problem"]
        return Record(str(fields["key"]), made, None if problem is None else str(problem)[:500], int(fields["dropped"]))
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"the record is invalid: {error}") from None


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
    """Return the key of the result of these settings for a file, its mask and its control image, by their hashes."""
    content = orjson.dumps([PROGRAM_VERSION, hashes, settings.as_json()], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(content).hexdigest()
