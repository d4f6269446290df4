"""Datasets: their names, versions and items, the manifest that a version is, and what is known of media."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson

#: What a dataset can be called. It stands in addresses, in requests before @, and as a directory's name.
DATASET_NAME = r"[A-Za-z0-9][A-Za-z0-9._\-]{0,99}"

#: A SHA-256 in hexadecimal.
SHA256 = r"[0-9a-f]{64}"

#: The id of an item: the beginning of the SHA-256 of its path.
ITEM_ID = r"[0-9a-f]{16}"

#: The most items of one version; the longest path and caption of one, in characters, and of all of them together:
#: whoever edits a version has it in memory.
MAX_ITEMS = 250_000
MAX_PATH = 1024
MAX_CAPTION = 20_000
MAX_TEXT = 64 * 2**20


class MediaKind(StrEnum):
    """What a media file is, by its content."""

    IMAGE = "image"
    VIDEO = "video"
    OTHER = "other"  #: nothing that a trainer could take


@dataclass(frozen=True, slots=True)
class MediaFacts:
    """What the bytes of a media file say; None: unknown. A picture has one frame, and neither duration nor rate."""

    kind: MediaKind
    format: str | None = None  #: of the container: png, jpeg, mp4, …
    width: int | None = None
    height: int | None = None
    duration: float | None = None  #: seconds
    fps: float | None = None
    frame_count: int | None = None
    is_variable_rate: bool | None = None
    problem: str | None = None  #: a stable word: unreadable, truncated, media_bomb, …
    problem_text: str | None = None  #: the same for people


class ItemProblem(StrEnum):
    """What is wrong with an item by itself. A problem of its bytes is named by `MediaFacts.problem` instead."""

    MISSING_CAPTION = "missing_caption"
    EMPTY_CAPTION = "empty_caption"
    VARIABLE_RATE = "variable_frame_rate"
    NOT_MEDIA = "not_media"


@dataclass(frozen=True, slots=True)
class ManifestItem:
    """One media file of a version: its path below the dataset, its bytes by their hash, and what stands beside it."""

    path: str
    sha256: str
    size_bytes: int
    caption: str | None = None  #: None: there is none; an empty one is a caption too
    mask_sha256: str | None = None
    control_sha256: str | None = None
    excluded: bool = False  #: trainings, checks and caches do not see it

    @property
    def item_id(self) -> str:
        """What names it in every version of its dataset, whatever becomes of its bytes and its caption."""
        return item_id_of(self.path)

    @property
    def caption_problem(self) -> ItemProblem | None:
        """What is wrong with its caption; None when nothing is."""
        if self.caption is None:
            return ItemProblem.MISSING_CAPTION
        return None if self.caption.strip() else ItemProblem.EMPTY_CAPTION

    @property
    def blobs(self) -> tuple[str, ...]:
        """The hashes of the files that it needs."""
        return tuple(sha for sha in (self.sha256, self.mask_sha256, self.control_sha256) if sha is not None)


def item_id_of(path: str) -> str:
    """The id of the item with this path."""
    return hashlib.sha256(path.encode()).hexdigest()[:16]


def included_items(items: Iterable[ManifestItem]) -> list[ManifestItem]:
    """Return the items that trainings, checks and caches see."""
    return [item for item in items if not item.excluded]


def write_manifest(items: Iterable[ManifestItem]) -> Iterator[bytes]:
    """The canonical lines of a manifest: JSON, sorted by path, so that the same items make the same bytes anywhere."""
    for item in sorted(items, key=lambda each: each.path):
        line = {
            "path": item.path,
            "sha256": item.sha256,
            "size": item.size_bytes,
            "caption": item.caption,
            "mask": item.mask_sha256,
            "control": item.control_sha256,
        }
        # Only where it is set: versions without exclusions keep the hashes that they have always had.
        if item.excluded:
            line["excluded"] = True
        yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def read_manifest(lines: Iterable[bytes]) -> Iterator[ManifestItem]:
    """The items of a manifest. Raises ValueError for a line that is none of `write_manifest`."""
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
    """An item as people see it: what the manifest says of it, and what its bytes are known to be."""

    item: ManifestItem
    facts: MediaFacts | None = None  #: None: nobody has looked into it yet
    position: int = 0  #: its place among the items of its version

    @property
    def problems(self) -> tuple[str, ...]:
        """Words for what is wrong with it; empty when nothing is known to be."""
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


#: The problem that stands for each and every one, where items are looked for.
ANY_PROBLEM = "any"


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Which items a page shows; None does not choose."""

    search: str | None = None  #: part of path or caption
    problem: str | None = None
    excluded: bool | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it lets everything pass."""
        return not self.search and self.problem is None and self.excluded is None


@dataclass(frozen=True, slots=True)
class DatasetVersion:
    """One state of a dataset, which never changes. `origin` says where it came from, as what made it put it."""

    ordinal: int
    manifest_sha256: str
    created_at: datetime
    actor: str
    message: str
    items: int
    size_bytes: int  #: of the media files
    origin: Mapping[str, Any] | None = None
    excluded: int = 0  #: how many of the items are excluded

    @property
    def included(self) -> int:
        """How many items trainings see."""
        return self.items - self.excluded


class WatchState(StrEnum):
    """How a registered directory compares with the newest version that was made of it."""

    READING = "reading"  #: it is about to be read, or being read
    SAME = "same"
    CHANGED = "changed"
    GONE = "gone"  #: it is not there, or cannot be read


class EntryProblem(StrEnum):
    """Why an entry of a registered directory is no part of the dataset; the rest of the directory is."""

    NAME = "bad_name"  #: no item can be called so
    CAPTION = "bad_caption"  #: a text that cannot be one of captions, or one caption of such a file
    UNREADABLE = "unreadable"
    NOT_MEDIA = "not_media"  #: no trainer opens it


@dataclass(frozen=True, slots=True)
class EntryFinding:
    """What is wrong with one entry of a registered directory."""

    path: str  #: made printable
    problem: EntryProblem
    text: str


@dataclass(frozen=True, slots=True)
class DirectoryWatch:
    """What the latest look at a registered directory found. `unread` counts what was wrong when its newest version was
    read: files that could not be read, and captions that were none.
    """

    state: WatchState
    checked_at: datetime
    added: int = 0
    removed: int = 0
    changed: int = 0
    examples: tuple[str, ...] = ()  #: some of the paths
    problem: str | None = None  #: why it could not be read
    misnamed: int = 0  #: files whose names no item can have
    unread: int = 0
    left_out: int = 0  #: files that no trainer opens
    findings: tuple[EntryFinding, ...] = ()  #: the first of both
    read_bytes: int | None = None  #: while it is being read: how many of `total_bytes` are
    total_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """A named collection of media; its versions hold the items."""

    serial: int
    name: str
    owner: str | None
    description: str | None
    tags: tuple[str, ...]
    directory: str | None  #: of a registered one: where its files lie, which only others change
    created_at: datetime
    updated_at: datetime
    latest: int | None  #: the ordinal of the newest version; None: it has none yet
    stored_bytes: int = 0  #: of the different files that its versions hold
    items: int | None = None  #: of the newest version
    watch: DirectoryWatch | None = None


@dataclass(frozen=True, slots=True)
class PinnedDataset:
    """What a task uses of a dataset, whatever becomes of the dataset itself."""

    dataset: str  #: what it was called then
    version: int
    manifest: str  #: sha256:…
    items: int  #: without excluded ones
    serial: int  #: of the dataset, which a renamed one keeps

    @property
    def manifest_sha256(self) -> str:
        """The hash alone."""
        return self.manifest.removeprefix("sha256:")


@dataclass(frozen=True, slots=True)
class Blob:
    """A stored file, named by its content."""

    sha256: str
    size_bytes: int
