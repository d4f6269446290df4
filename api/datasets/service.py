"""Create, change and delete datasets, and add versions to them."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Protocol, TypeVar

from api.datasets.names import parse_version, problem_of_path
from api.datasets.records.dataset_store import Action, DatasetFilter, DatasetStore
from api.datasets.records.hold_store import DatasetHolds
from api.datasets.records.item_store import MOST_MOVED, DatasetItemStore
from api.datasets.records.rows import NewVersion
from api.datasets.views import DatasetDeleted, DatasetDetails, DatasetRow, VersionView
from api.db.version_runs import VersionRun, begin_run, in_turn, join_run, keep_version
from api.domain.access.audit import note_change
from api.domain.access.principal import Principal
from api.domain.access.read_scope import current_scope
from api.domain.datasets.dataset import (
    MAX_CAPTION,
    MAX_ITEMS,
    MAX_TEXT,
    Blob,
    Dataset,
    DatasetVersion,
    ManifestItem,
    read_manifest,
    write_manifest,
)
from api.domain.finding import make_finding
from api.errors import (
    DatasetChanged,
    DatasetIsRegistered,
    Finding,
    FindingText,
    HiddenDataset,
    Invalid,
    VersionNotFound,
)
from api.files.blobs import BlobStore
from api.util.clock import Clock
from api.util.http.pagination import Page, PageRequest
from api.util.http.validation import capped

logger = logging.getLogger(__name__)

T = TypeVar("T")

_TRIES = 5

#: Lines of a manifest that are written at once.
_LINES = 1000


class StorageQuota(Protocol):
    """The storage quota of users."""

    def require_storage(self, owner: str | None, more_bytes: int) -> None:
        """Raise QuotaExceeded if this many additional bytes exceed the owner's quota."""
        ...


class NoQuota:
    """A service without quotas."""

    def require_storage(self, owner: str | None, more_bytes: int) -> None:
        """Accept any size."""


@dataclass(frozen=True, slots=True)
class Derived:
    """A version that differs from an earlier manifest only in some captions."""

    manifest_sha256: str
    changed: Mapping[int, ManifestItem]  #: items with new captions, by their index

    @classmethod
    def of(cls, manifest_sha256: str, before: Sequence[ManifestItem], after: Sequence[ManifestItem]) -> "Derived":
        """Compare the items of a version with those of this manifest, which are the same files in the same order."""
        pairs = enumerate(zip(before, after, strict=True))
        return cls(manifest_sha256, {index: new for index, (old, new) in pairs if new is not old and new != old})


class DatasetService:
    """Use cases of `/datasets`, and operations that the rest of this package builds upon."""

    def __init__(
        self,
        store: DatasetStore,
        holds: DatasetHolds,
        items: DatasetItemStore,
        blobs: BlobStore,
        clock: Clock,
        bound: StorageQuota | None = None,
    ) -> None:
        self._store = store
        self._holds = holds
        self._items = items
        self._blobs = blobs
        self._clock = clock
        self._bound = bound or NoQuota()

    # -- datasets ------------------------------------------------------------------------------------------------------

    def create(self, name: str, principal: Principal, fields: Mapping[str, Any]) -> DatasetRow:
        """Create an empty dataset owned by this principal. Raises DatasetExists."""
        return DatasetRow.of(self.make(name, principal.owner, fields))

    def make(self, name: str, owner: str | None, fields: Mapping[str, Any]) -> Dataset:
        """Create an empty dataset with description, tags or directory. Raises DatasetExists."""
        now = self._clock.now()
        new = Dataset(
            serial=0,
            name=name,
            owner=owner,
            description=fields.get("description"),
            tags=tuple(fields.get("tags") or ()),
            directory=fields.get("directory"),
            created_at=now,
            updated_at=now,
            latest=None,
        )
        made = self._store.create(new)
        logger.info("dataset created", extra={"dataset": name, "directory": made.directory})
        return made

    def find(self, name: str) -> Dataset:
        """Return the dataset with this name if the caller may see it. Raises DatasetNotFound."""
        found = self._store.get(name)
        if not current_scope.get().sees(found.owner):
            raise HiddenDataset.named(name)
        return found

    def owner_of(self, name: str) -> str | None:
        """Return the owner of a dataset; None if it has none. Raises DatasetNotFound, DatabaseUnavailable."""
        return self._store.get(name).owner

    def get(self, name: str) -> DatasetDetails:
        """Return everything about a dataset except its items. Raises DatasetNotFound."""
        found = self.find(name)
        latest = None if found.latest is None else self._store.get_version(found.serial, found.latest)
        view = None if latest is None else VersionView.of(latest)
        users, size = self._store.users(found.serial), self._holds.manifest_bytes(found.serial)
        return DatasetDetails(DatasetRow.of(found), view, tuple(users), size)

    def get_page(self, search: str | None, owner: str | None, page: PageRequest) -> Page[DatasetRow]:
        """Return a page of the datasets that the caller may see, newest first."""
        wanted = DatasetFilter(search, owner, current_scope.get().only_of)
        return self._store.page(wanted, page).map(DatasetRow.of)

    def change(self, name: str, changes: Mapping[str, Any]) -> DatasetRow:
        """Change name, description or tags. Raises DatasetNotFound, DatasetExists."""
        return DatasetRow.of(self._store.change(self.find(name).name, changes, self._clock.now()))

    def delete(self, name: str) -> DatasetDeleted:
        """Delete a dataset. Raises DatasetNotFound, DatasetInUse."""
        deleted = self._store.delete(self.find(name).name, self._clock.now())
        logger.info("dataset deleted", extra={"dataset": name})
        return DatasetDeleted(name, tuple(self._store.users(deleted.serial)))

    # -- versions ------------------------------------------------------------------------------------------------------

    def find_version(self, dataset: Dataset, version: str | None = None) -> DatasetVersion:
        """Return a version by its number, by `sha256:…` of its manifest, or the newest for `latest` or None.

        Raises VersionNotFound.
        """
        wanted = parse_version(version)
        if wanted is None:
            if dataset.latest is None:
                raise VersionNotFound(f"{dataset.name} has no version yet: {_how_to_get_one(dataset)}.")
            return self._store.get_version(dataset.serial, dataset.latest)
        if isinstance(wanted, int):
            return self._store.get_version(dataset.serial, wanted)
        return self._store.find_version(dataset.serial, wanted)

    def get_version(self, name: str, version: str) -> VersionView:
        """Return one version. Raises DatasetNotFound, VersionNotFound."""
        return VersionView.of(self.find_version(self.find(name), version))

    def get_versions(self, name: str, page: PageRequest) -> Page[VersionView]:
        """Return a page of the versions, newest first. Raises DatasetNotFound."""
        return self._store.versions(self.find(name).serial, page).map(VersionView.of)

    def restore(self, name: str, version: str, actor: str) -> VersionView:
        """Create a new version with the content of an earlier one. Raises DatasetNotFound, VersionNotFound."""
        dataset = self.find(name)
        old = self.find_version(dataset, version)
        self._require_restorable(dataset, old)
        new = NewVersion(
            old.manifest_sha256,
            actor,
            f"restored version {old.ordinal}",
            old.items,
            old.size_bytes,
            {"restored": old.ordinal},
            excluded=old.excluded,
        )
        note_change(about=name)
        if dataset.latest == old.ordinal:
            return VersionView.of(old)
        retain = partial(keep_version, serial=dataset.serial, ordinal=old.ordinal)
        return VersionView.of(self._store.add_version(dataset.serial, new, dataset.latest, self._clock.now(), retain))

    def retain(self, dataset: Dataset, version: DatasetVersion) -> None:
        """Prevent an exported version from being superseded by a later edit."""
        self._store.runs.keep(dataset.serial, version.ordinal)

    def find_run(self, dataset: Dataset, latest: DatasetVersion, actor: str) -> VersionRun | None:
        """Return the run of edits that the actor's next edit joins; None if it starts a new one."""
        return self._store.runs.find(dataset.serial, latest.ordinal, actor, self._clock.now())

    def _require_restorable(self, dataset: Dataset, old: DatasetVersion) -> None:
        """Raise DatasetIsRegistered if a directory on the server was read again after this version."""
        if dataset.directory is None:
            return
        if any("directory" in origin for origin in self._store.origins(dataset.serial, old.ordinal)):
            raise DatasetIsRegistered(
                f"{dataset.directory} was read again after version {old.ordinal}, and its files may have changed "
                "since then: change the files there, or choose a later version.",
                data={"directory": dataset.directory},
            )

    def find_latest(self, dataset: Dataset, expected: int | None) -> DatasetVersion:
        """Return the newest version for an edit. Raises DatasetChanged if it is not the expected one."""
        latest = self.find_version(dataset)
        if expected not in (None, latest.ordinal):
            raise DatasetChanged(
                f"The newest version of {dataset.name} is {latest.ordinal}, not {expected}: load it and edit again.",
                data={"latest": latest.ordinal},
            )
        return latest

    def read_items(self, manifest_sha256: str) -> Iterator[ManifestItem]:
        """Return the items of a manifest, by path. Raises BlobMissing."""
        return read_manifest(self._blobs.lines(manifest_sha256))

    def manifest_lines(self, manifest_sha256: str) -> Iterator[bytes]:
        """Return the lines of a manifest as they were hashed. Raises BlobMissing."""
        self._blobs.path(manifest_sha256)
        return self._blobs.lines(manifest_sha256)

    def index(self, manifest_sha256: str) -> int:
        """Return the serial number of a manifest's item rows; create missing rows."""
        return self._items.ensure(manifest_sha256, lambda: self.read_items(manifest_sha256), self._clock.steady.now())

    def read_rows(self, manifest_sha256: str, read: Callable[[int], T]) -> T:
        """Call `read` with the serial number of a manifest's rows and return its result. Raises DatasetChanged."""
        for _ in range(_TRIES):
            serial = self.index(manifest_sha256)
            found = read(serial)
            # An edit may have taken the rows over for its version meanwhile.
            if self._items.is_of(serial, manifest_sha256):
                return found
        raise DatasetChanged("The dataset is edited faster than it can be read: try again.")

    def add_version(
        self,
        dataset: Dataset,
        items: Sequence[ManifestItem],
        actor: str,
        message: str,
        *,
        expected_latest: int | None,
        origin: Mapping[str, Any] | None = None,
        derived: Derived | None = None,
        run: VersionRun | bool = False,
    ) -> DatasetVersion:
        """Make these items the newest version; their blobs must be in the store.

        If the newest version has the same items, return it. `run` is the run of edits to join, or True to start one.

        Raises DatasetChanged if the newest version is not `expected_latest`; Invalid, QuotaExceeded, BlobMissing.
        """
        require_valid(items, items if derived is None else derived.changed.values())
        new_blobs = {} if derived is not None else self.new_blobs(dataset, items)
        self._bound.require_storage(dataset.owner, sum(new_blobs.values()))
        manifest = self.store_manifest(items)
        with suppress(VersionNotFound):
            latest = None if expected_latest is None else self._store.get_version(dataset.serial, expected_latest)
            if latest is not None and latest.manifest_sha256 == manifest.sha256:
                return latest
        claimed = {**new_blobs, manifest.sha256: manifest.size_bytes}
        self.require_stored(claimed)
        claim = self._holds.hold(dataset.serial, claimed, self._clock.steady.now())
        rows = self._make_rows(manifest.sha256, items, derived)
        runs = self._join(dataset.serial, run, (expected_latest or 0) + 1, actor)
        size = sum(item.size_bytes for item in items)
        excluded = sum(item.excluded for item in items)
        new = NewVersion(manifest.sha256, actor, message, len(items), size, origin, claim, len(claimed), excluded)
        note_change(about=dataset.name)
        made = self._store.add_version(dataset.serial, new, expected_latest, self._clock.now(), in_turn(rows, runs))
        logger.info("dataset version created", extra={"dataset": dataset.name, "version": made.ordinal})
        return made

    def new_blobs(self, dataset: Dataset, items: Sequence[ManifestItem]) -> dict[str, int]:
        """Return the blobs of the items that the dataset does not hold yet: sizes by hash."""
        if dataset.directory is not None:
            return {}  # its files are not copied
        held, sizes = self._holds.held(dataset.serial), {}
        for item in items:
            for sha256 in item.blobs:
                if sha256 not in held:
                    sizes[sha256] = item.size_bytes if sha256 == item.sha256 else self._size_of(sha256)
        return sizes

    def _size_of(self, sha256: str) -> int:
        return self._blobs.path(sha256).stat().st_size

    def store_manifest(self, items: Sequence[ManifestItem]) -> Blob:
        """Store the manifest of these items in a form that every server on this database can read."""
        with self._blobs.begin(compresses=self._store.may_compress()) as writer:
            lines = write_manifest(items)
            while part := b"".join(islice(lines, _LINES)):
                writer.write(part)
            return writer.commit()

    def require_stored(self, blobs: Collection[str]) -> None:
        """Protect these blobs from garbage collection for an hour. Raises Invalid for missing blobs."""
        missing = self._blobs.keep(blobs)
        if missing:
            raise Invalid(
                mistakes=[
                    make_finding(
                        "/items",
                        FindingText(
                            "blobs_missing",
                            "{count} files are not in the store. The first has the SHA-256 {sha256}.",
                            "Upload them first.",
                        ),
                        count=len(missing),
                        sha256=missing[0],
                    )
                ]
            )

    def _join(self, serial: int, run: VersionRun | bool, ordinal: int, actor: str) -> Action:
        now = self._clock.now()
        if isinstance(run, VersionRun):
            return partial(join_run, serial=serial, run=run, actor=actor, now=now)
        return partial(begin_run, serial=serial, ordinal=ordinal, now=now) if run else in_turn()

    def _make_rows(self, manifest_sha256: str, items: Sequence[ManifestItem], derived: Derived | None) -> Action:
        """Create the rows of a manifest, or return the action that takes rows over when its version is created."""
        now, base = self._clock.steady.now(), None if derived is None else derived.manifest_sha256
        is_small = derived is not None and len(derived.changed) <= MOST_MOVED
        if base is None or derived is None or not is_small or not self._items.is_indexed(base):
            self._items.ensure(manifest_sha256, lambda: sorted(items, key=lambda item: item.path), now)
            return lambda connection: None
        return lambda connection: self._items.move(connection, base, manifest_sha256, derived.changed, now)


def _how_to_get_one(dataset: Dataset) -> str:
    if dataset.directory is None:
        return "upload files into it"
    return f"its directory is read soon, or now with POST …/datasets/{dataset.name}/refresh"


def require_own_files(dataset: Dataset) -> None:
    """Raise DatasetIsRegistered for a directory on the server, which is only read."""
    if dataset.directory is not None:
        raise DatasetIsRegistered(
            f"{dataset.name} is the directory {dataset.directory} on the server, which is only read: change the files "
            "there. The changes are then found automatically.",
            data={"directory": dataset.directory},
        )


def require_valid(items: Sequence[ManifestItem], new: Collection[ManifestItem]) -> None:
    """Raise Invalid if the items are invalid; `new` are the items that no earlier version has."""
    if len(items) > MAX_ITEMS:
        raise Invalid(
            mistakes=[
                make_finding(
                    "/items",
                    FindingText("items_too_many", "There are more than {most} items.", "Make two datasets."),
                    most=f"{MAX_ITEMS:,}",
                )
            ]
        )
    if sum(len(item.path) + len(item.caption or "") for item in items) > MAX_TEXT:
        raise Invalid(
            mistakes=[
                make_finding(
                    "/items",
                    FindingText(
                        "items_too_long",
                        "The paths and captions have more than {most} characters in total.",
                        "Shorten captions, or make two datasets.",
                    ),
                    most=f"{MAX_TEXT:,}",
                )
            ]
        )
    seen: set[str] = set()
    mistakes: list[Finding] = []
    for item in new:
        problem = _problem_of(item)
        if problem is None and item.path in seen:
            problem = make_finding(
                "/items", FindingText("item_path_twice", "Two items have the path {path}."), path=item.path[:200]
            )
        if problem is not None:
            mistakes.append(problem)
        seen.add(item.path)
    if mistakes:
        raise Invalid(mistakes=capped(mistakes))


def _problem_of(item: ManifestItem) -> Finding | None:
    problem = problem_of_path(item.path)
    if problem is not None:
        return problem
    if item.caption is not None and len(item.caption) > MAX_CAPTION:
        return make_finding(
            "/items",
            FindingText("caption_too_long", "The caption of {path} has more than {most} characters."),
            path=item.path[:200],
            most=f"{MAX_CAPTION:,}",
        )
    return None
