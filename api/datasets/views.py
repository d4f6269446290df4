"""Views of datasets, versions and items in responses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.domain.datasets.dataset import Dataset, DatasetItem, DatasetVersion, DirectoryWatch, MediaFacts, MediaKind
from api.util.copying import copy_fields

_NOT_EXAMINED = MediaFacts(MediaKind.OTHER)


@dataclass(frozen=True, slots=True)
class VersionView:
    """A version of a dataset."""

    version: int  #: from 1; numbers are never reused
    manifest: str  #: sha256:…
    created_at: datetime
    actor: str
    message: str  #: what changed
    items: int  #: number of items, including excluded ones
    size_bytes: int  #: bytes of all its files
    origin: Mapping[str, Any] | None  #: what made it, such as a task; null for a manual edit
    excluded: int  #: number of items that are excluded from trainings

    @classmethod
    def of(cls, version: DatasetVersion) -> "VersionView":
        """Return the view of a version."""
        return copy_fields(cls, version, version=version.ordinal, manifest=f"sha256:{version.manifest_sha256}")


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """A dataset in a list."""

    name: str
    owner: str | None
    description: str | None
    tags: tuple[str, ...]
    directory: str | None  #: path of a registered directory
    created_at: datetime
    updated_at: datetime
    latest: int | None  #: number of the newest version; null: none yet
    items: int | None  #: items of the newest version
    stored_bytes: int  #: distinct files of its versions; registered files do not count
    watch: DirectoryWatch | None  #: result of the latest check of its directory; null if it is not registered

    @classmethod
    def of(cls, dataset: Dataset) -> "DatasetRow":
        """Return the row of a dataset."""
        return copy_fields(cls, dataset)


@dataclass(frozen=True, slots=True)
class DatasetDetails:
    """A dataset with its newest version and its users."""

    dataset: DatasetRow  #: the dataset
    latest_version: VersionView | None  #: null: it has no version yet
    used_by: tuple[str, ...]  #: ids of the tasks that the caller may see
    manifest_bytes: int  #: part of `stored_bytes` for the manifests, which are never deleted


@dataclass(frozen=True, slots=True)
class ItemView:
    """An item of a version. Values of a file that was not examined yet are null."""

    item_id: str
    name: str  #: path in the dataset
    kind: MediaKind | None  #: picture or video
    format: str | None  #: container format, such as png or mp4
    width: int | None
    height: int | None
    duration: float | None  #: seconds
    fps: float | None  #: frames per second; null for a picture
    frame_count: int | None  #: number of frames
    size_bytes: int
    sha256: str
    caption: str | None  #: null: no caption
    has_mask: bool  #: whether it has a mask
    has_control: bool  #: whether it has a control image
    problems: tuple[str, ...]  #: codes of its problems; empty: none
    problem_text: str | None  #: the reason of a problem as text; null: none
    excluded: bool  #: ignored by trainings, checks and caches

    @classmethod
    def of(cls, found: DatasetItem) -> "ItemView":
        """Return the view of an item."""
        item, facts = found.item, found.facts
        return copy_fields(
            cls,
            item,
            facts or _NOT_EXAMINED,
            kind=None if facts is None else facts.kind,
            name=item.path,
            has_mask=item.mask_sha256 is not None,
            has_control=item.control_sha256 is not None,
            problems=found.problems,
        )


@dataclass(frozen=True, slots=True)
class CaptionDifference:
    """The change of one caption."""

    item_id: str
    name: str  #: path of the item in the dataset
    before: str | None  #: previous caption; null: none
    after: str | None  #: new caption; null: none


@dataclass(frozen=True, slots=True)
class CaptionEdit:
    """The result of an edit of captions, or of its dry run."""

    dry_run: bool  #: whether nothing was changed
    changed: int  #: number of changed captions
    differences: Sequence[CaptionDifference]  #: the first differences
    version: VersionView | None  #: the new version; null if none was made


@dataclass(frozen=True, slots=True)
class ItemsEdit:
    """The result of an edit of items, or of its dry run."""

    dry_run: bool  #: whether nothing was changed
    removed: int  #: number of removed items
    excluded: int  #: number of items that are excluded now
    included: int  #: number of items that are no longer excluded
    items: int  #: items of the new version, including excluded ones
    trained: int  #: items that trainings use
    previous: int  #: the version before the edit, for `restore`
    version: VersionView | None  #: the new version; null if none was made


@dataclass(frozen=True, slots=True)
class DatasetSplit:
    """The result of a split, or of its dry run."""

    dry_run: bool  #: whether nothing was changed
    moved: int  #: number of moved items
    into: str  #: dataset that has them now
    is_new: bool  #: the split creates the dataset `into`
    items: int  #: remaining items of the source
    previous: int  #: version of the source before the split, for `restore`
    version: VersionView | None  #: new version of the source; null if none was made
    into_version: VersionView | None  #: new version of `into`; null if none was made


@dataclass(frozen=True, slots=True)
class DatasetDeleted:
    """A deleted dataset; `kept_for` lists the finished tasks for which its files are retained."""

    name: str
    kept_for: tuple[str, ...]  #: finished tasks for which its files are retained
