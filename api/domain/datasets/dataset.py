"""Datasets, versions, items, manifests and facts about media."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson

#: Pattern of a dataset name. It is used in URLs, in requests before @, and as a directory name.
DATASET_NAME = r"[A-Za-z0-9][A-Za-z0-9._\-]{0,99}"

#: Pattern of a SHA-256 in hexadecimal.
SHA256 = r"[0-9a-f]{64}"

#: Pattern of an item id, the start of the SHA-256 of its path.
ITEM_ID = r"[0-9a-f]{16}"

#: Limits of a version: number of items, characters of a path, of a caption, and of all together. An edit loads the
#: whole version into memory.
MAX_ITEMS = 250_000
MAX_PATH = 1024
MAX_CAPTION = 20_000
MAX_TEXT = 64 * 2**20


class MediaKind(StrEnum):
    """The kind of a media file, by its content."""

    IMAGE = "image"
    VIDEO = "video"
    OTHER = "other"  #: not usable by a trainer


@dataclass(frozen=True, slots=True)
class MediaFacts:
    """Facts from the bytes of a media file. None: unknown. A picture has one frame, no duration and no rate."""

    kind: MediaKind  #: picture or video
    format: str | None = None  #: container format: png, jpeg, mp4, …
    width: int | None = None
    height: int | None = None
    duration: float | None = None  #: seconds
    fps: float | None = None
    frame_count: int | None = None
    is_variable_rate: bool | None = None  #: whether the time between frames varies
    problem: str | None = None  #: code: unreadable, truncated, media_bomb, …
    problem_text: str | None = None  #: the same as text


class ItemProblem(StrEnum):
    """A problem of an item. Problems of its bytes are in `MediaFacts.problem` instead."""

    MISSING_CAPTION = "missing_caption"
    EMPTY_CAPTION = "empty_caption"
    VARIABLE_RATE = "variable_frame_rate"
    NOT_MEDIA = "not_media"


@dataclass(frozen=True, slots=True)
class ManifestItem:
    """One media file of a version: its path below the dataset, the hash of its bytes, caption, mask and control."""

    path: str
    sha256: str
    size_bytes: int
    caption: str | None = None  #: None: missing; an empty text is also a caption
    mask_sha256: str | None = None
    control_sha256: str | None = None
    excluded: bool = False  #: not used by trainings, checks and caches

    @property
    def item_id(self) -> str:
        """The id of this path in every version of the dataset, independent of its bytes and caption."""
        return item_id_of(self.path)

    @property
    def caption_problem(self) -> ItemProblem | None:
        """The problem of its caption, or None."""
        if self.caption is None:
            return ItemProblem.MISSING_CAPTION
        return None if self.caption.strip() else ItemProblem.EMPTY_CAPTION

    @property
    def blobs(self) -> tuple[str, ...]:
        """The hashes of the files that it needs."""
        return tuple(sha for sha in (self.sha256, self.mask_sha256, self.control_sha256) if sha is not None)


def item_id_of(path: str) -> str:
    """Return the id of the item with this path."""
    return hashlib.sha256(path.encode()).hexdigest()[:16]


def included_items(items: Iterable[ManifestItem]) -> list[ManifestItem]:
    """Return the items that trainings, checks and caches use."""
    return [item for item in items if not item.excluded]


def write_manifest(items: Iterable[ManifestItem]) -> Iterator[bytes]:
    """Yield the canonical lines of a manifest: JSON, sorted by path, so that equal items give equal bytes."""
    for item in sorted(items, key=lambda each: each.path):
        line = {
            "path": item.path,
            "sha256": item.sha256,
            "size": item.size_bytes,
            "caption": item.caption,
            "mask": item.mask_sha256,
            "control": item.control_sha256,
        }
        # Written only if set, so that versions without exclusions keep their hashes.
        if item.excluded:
            line["excluded"] = True
        yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def read_manifest(lines: Iterable[bytes]) -> Iterator[ManifestItem]:
    """Yield the items of a manifest. Raise ValueError for a line that `write_manifest` did not write."""
    for line in lines:
        fields = orjson.loads(line)
        try:
            yield ManifestItem(
                fields["path"],
                fields["sha256"],
                fields["size"],
                fields["caption"],
                fields["mask"],
                fields["control"],
                fields.get("excluded") is True,
            )
        except (TypeError, KeyError) as error:
            raise ValueError(f"this line of a manifest lacks {error}") from None


@dataclass(frozen=True, slots=True)
class DatasetItem:
    """An item with the facts about its media."""

    item: ManifestItem
    facts: MediaFacts | None = None  #: None: not examined yet
    position: int = 0  #: position among the items of its version

    @property
    def problems(self) -> tuple[str, ...]:
        """The codes of its problems. Empty if none are known."""
        found: list[str] = []
        if self.facts is not None and self.facts.problem is not None:
            found.append(self.facts.problem)
        elif self.facts is not None and self.facts.kind is MediaKind.OTHER:
            found.append(ItemProblem.NOT_MEDIA)
        if self.facts is not None and self.facts.is_variable_rate:
            found.append(ItemProblem.VARIABLE_RATE)
        if self.item.caption_problem is not None:
            found.append(self.item.caption_problem)
        return tuple(found)


#: Matches every problem in a filter.
ANY_PROBLEM = "any"


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Which items to list. None does not restrict them."""

    search: str | None = None  #: part of path or caption
    problem: str | None = None
    excluded: bool | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it restricts nothing."""
        return not self.search and self.problem is None and self.excluded is None


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """One immutable state of a dataset. `origin` is a description by its creator."""

    ordinal: int
    manifest_sha256: str
    created_at: datetime
    actor: str
    message: str
    items: int
    size_bytes: int  #: size of the media files
    origin: Mapping[str, Any] | None = None
    excluded: int = 0  #: number of excluded items

    @property
    def included(self) -> int:
        """The number of items that trainings use."""
        return self.items - self.excluded


class WatchState(StrEnum):
    """How a registered directory compares with the newest version made from it."""

    READING = "reading"  #: waiting to be read, or being read
    SAME = "same"
    CHANGED = "changed"
    GONE = "gone"  #: missing or unreadable


class EntryProblem(StrEnum):
    """Why an entry of a registered directory is not part of the dataset."""

    NAME = "bad_name"  #: not a valid item name
    CAPTION = "bad_caption"  #: a file that is not valid as captions, or one invalid caption in it
    UNREADABLE = "unreadable"
    NOT_MEDIA = "not_media"  #: no trainer opens it


@dataclass(frozen=True, slots=True)
class EntryFinding:
    """A problem with one entry of a registered directory."""

    path: str  #: with unprintable characters escaped
    problem: EntryProblem  #: kind of the problem
    text: str  #: the reason for people


@dataclass(frozen=True, slots=True)
class DirectoryWatch:
    """The result of the latest check of a registered directory.

    `unread` counts the problems when its newest version was made: unreadable files and invalid captions.
    """

    state: WatchState  #: whether the directory has changed
    checked_at: datetime  #: when it was last checked
    added: int = 0  #: files that are new since the newest version
    removed: int = 0  #: files that are missing since the newest version
    changed: int = 0  #: files that are different since the newest version
    examples: tuple[str, ...] = ()  #: some of the paths
    problem: str | None = None  #: why it could not be read
    misnamed: int = 0  #: files whose names are not valid item names
    unread: int = 0  #: unusable files and captions of the newest version
    left_out: int = 0  #: files that no trainer opens
    findings: tuple[EntryFinding, ...] = ()  #: findings about the first of both
    read_bytes: int | None = None  #: progress while it is being read, out of `total_bytes`
    total_bytes: int | None = None  #: null unless it is being read


@dataclass(frozen=True, slots=True)
class Dataset:
    """A named collection of media. Its versions hold the items."""

    serial: int
    name: str
    owner: str | None
    description: str | None
    tags: tuple[str, ...]
    directory: str | None  #: directory of the files, if registered; only others change it
    created_at: datetime
    updated_at: datetime
    latest: int | None  #: number of the newest version; None: no version yet
    stored_bytes: int = 0  #: size of the distinct files of all versions
    items: int | None = None  #: number of items of the newest version
    watch: DirectoryWatch | None = None


@dataclass(frozen=True, slots=True)
class PinnedDataset:
    """The version of a dataset that a task uses. It stays valid if the dataset is renamed or deleted."""

    dataset: str  #: name of the dataset at that time
    version: int  #: number of the version
    manifest: str  #: sha256:…
    items: int  #: without excluded items
    serial: int  #: serial of the dataset, which survives renaming

    @property
    def manifest_sha256(self) -> str:
        """The hash without its prefix."""
        return self.manifest.removeprefix("sha256:")


@dataclass(frozen=True, slots=True)
class Blob:
    """A stored file, named by the hash of its content."""

    sha256: str
    size_bytes: int
