"""Datasets as they are answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.domain.dataset import Dataset, DatasetItem, DatasetVersion, DirectoryWatch, MediaKind


@dataclass(frozen=True, slots=True)
class VersionView:
    """A version as it is answered."""

    version: int
    manifest: str  #: sha256:…
    created_at: datetime
    actor: str
    message: str
    items: int
    size_bytes: int
    origin: Mapping[str, Any] | None
    excluded: int  #: how many of `items` are excluded from trainings

    @classmethod
    def of(cls, version: DatasetVersion) -> "VersionView":
        """The view of a version."""
        return cls(
            version.ordinal,
            f"sha256:{version.manifest_sha256}",
            version.created_at,
            version.actor,
            version.message,
            version.items,
            version.size_bytes,
            version.origin,
            version.excluded,
        )


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """A dataset in a list."""

    name: str
    owner: str | None
    description: str | None
    tags: tuple[str, ...]
    directory: str | None  #: of a registered one
    created_at: datetime
    updated_at: datetime
    latest: int | None  #: the number of the newest version; null: it has none yet
    items: int | None  #: of the newest version
    stored_bytes: int  #: of the different files that its versions hold; those of a registered one lie elsewhere
    watch: DirectoryWatch | None

    @classmethod
    def of(cls, dataset: Dataset) -> "DatasetRow":
        """The row of a dataset."""
        return cls(
            dataset.name,
            dataset.owner,
            dataset.description,
            dataset.tags,
            dataset.directory,
            dataset.created_at,
            dataset.updated_at,
            dataset.latest,
            dataset.items,
            dataset.stored_bytes,
            dataset.watch,
        )


@dataclass(frozen=True, slots=True)
class DatasetDetails:
    """One dataset."""

    dataset: DatasetRow
    latest_version: VersionView | None
    used_by: tuple[str, ...]  #: ids of the tasks that one may see
    manifest_bytes: int  #: of `stored_bytes`: the lists of items of all versions, which are kept whole and for good


@dataclass(frozen=True, slots=True)
class ItemView:
    """An item as it is answered; what nobody has looked into yet is null."""

    item_id: str
    name: str  #: its path below the dataset
    kind: MediaKind | None
    format: str | None
    width: int | None
    height: int | None
    duration: float | None  #: seconds
    fps: float | None
    frame_count: int | None
    size_bytes: int
    sha256: str
    caption: str | None  #: null: there is none
    has_mask: bool
    has_control: bool
    problems: tuple[str, ...]
    problem_text: str | None
    excluded: bool  #: trainings, checks and caches do not see it

    @classmethod
    def of(cls, found: DatasetItem) -> "ItemView":
        """The view of an item."""
        item, facts = found.item, found.facts
        return cls(
            item_id=item.item_id,
            name=item.path,
            kind=None if facts is None else facts.kind,
            format=None if facts is None else facts.format,
            width=None if facts is None else facts.width,
            height=None if facts is None else facts.height,
            duration=None if facts is None else facts.duration,
            fps=None if facts is None else facts.fps,
            frame_count=None if facts is None else facts.frame_count,
            size_bytes=item.size_bytes,
            sha256=item.sha256,
            caption=item.caption,
            has_mask=item.mask_sha256 is not None,
            has_control=item.control_sha256 is not None,
            problems=found.problems,
            problem_text=None if facts is None else facts.problem_text,
            excluded=item.excluded,
        )


@dataclass(frozen=True, slots=True)
class CaptionDifference:
    """What an edit makes of one caption."""

    item_id: str
    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class CaptionEdit:
    """What an edit of captions did, or with `dry_run` would do."""

    dry_run: bool
    changed: int  #: how many captions it changes
    differences: Sequence[CaptionDifference]  #: the first of them
    version: VersionView | None  #: the new version; null when nothing was made


@dataclass(frozen=True, slots=True)
class ItemsEdit:
    """What an edit of items did, or with `dry_run` would do."""

    dry_run: bool
    removed: int
    excluded: int
    included: int
    items: int  #: items of the version afterwards, with the excluded ones
    trained: int  #: those of them that trainings see
    previous: int  #: the version that `restore` goes back to
    version: VersionView | None  #: the new version; null when nothing was made


@dataclass(frozen=True, slots=True)
class DatasetSplit:
    """What a split did, or with `dry_run` would do."""

    dry_run: bool
    moved: int
    into: str
    is_new: bool  #: whether the split makes the dataset `into`
    items: int  #: items that the source has afterwards
    previous: int  #: the version of the source that `restore` goes back to
    version: VersionView | None  #: the new version of the source; null when nothing was made
    into_version: VersionView | None  #: the new version of `into`; null when nothing was made


@dataclass(frozen=True, slots=True)
class DatasetDeleted:
    """A dataset that is gone; `kept_for` are finished tasks for which its files are kept."""

    name: str
    kept_for: tuple[str, ...]
