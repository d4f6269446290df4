"""Datasets: made, changed, deleted, and given new versions."""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Protocol, TypeVar

from api.datasets.hold_store import DatasetHolds
from api.datasets.item_store import MOST_MOVED, DatasetItemStore
from api.datasets.names import parse_version, problem_of_path
from api.datasets.rows import NewVersion
from api.datasets.store import Also, DatasetFilter, DatasetStore
from api.datasets.views import DatasetDeleted, DatasetDetails, DatasetRow, VersionView
from api.db.version_runs import VersionRun, begin_run, in_turn, join_run, keep_version
from api.domain.access import Principal
from api.domain.audit import note_change
from api.domain.dataset import (
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
from api.domain.sight import current_sight
from api.errors import (
    DatasetChanged,
    DatasetIsRegistered,
    HiddenDataset,
    Invalid,
    Mistake,
    VersionNotFound,
)
from api.files.blobs import BlobStore
from api.util.bounds import capped
from api.util.clock import Clock
from api.util.pagination import Page, PageRequest, read_page

logger = logging.getLogger(__name__)

T = TypeVar("T")

_TRIES = 5

#: Lines of a manifest that are written at a time.
_LINES = 1000


class StorageBound(Protocol):
    """What a user may store."""

    def require_storage(self, owner: str | None, more_bytes: int) -> None:
        """Lets so many bytes more pass. Raises QuotaExceeded."""
        ...


class NoBound:
    """A service without quotas."""

    def require_storage(self, owner: str | None, more_bytes: int) -> None:
        """Lets everything pass."""


@dataclass(frozen=True, slots=True)
class Derived:
    """A version that differs from an earlier manifest in some captions only."""

    manifest_sha256: str
    changed: Mapping[int, ManifestItem]  #: the items whose captions differ, by their places among all

    @classmethod
    def of(cls, manifest_sha256: str, before: Sequence[ManifestItem], after: Sequence[ManifestItem]) -> "Derived":
        """How the items of a version differ from those of this manifest, which are the same files in the same order."""
        pairs = enumerate(zip(before, after, strict=True))
        return cls(manifest_sha256, {place: new for place, (old, new) in pairs if new is not old and new != old})


class DatasetService:
    """The use cases of `/datasets`, and what the other parts of this room build upon."""

    def __init__(
        self,
        store: DatasetStore,
        holds: DatasetHolds,
        items: DatasetItemStore,
        blobs: BlobStore,
        clock: Clock,
        bound: StorageBound | None = None,
    ) -> None:
        self._store = store
        self._holds = holds
        self._items = items
        self._blobs = blobs
        self._clock = clock
        self._bound = bound or NoBound()

    # -- datasets ------------------------------------------------------------------------------------------------------

    def create(self, name: str, principal: Principal, fields: Mapping[str, Any]) -> DatasetRow:
        """Makes an empty dataset of this principal. Raises DatasetExists."""
        return DatasetRow.of(self.make(name, principal.owner, fields))

    def make(self, name: str, owner: str | None, fields: Mapping[str, Any]) -> Dataset:
        """Makes an empty dataset with description, tags or directory. Raises DatasetExists."""
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
        logger.info("dataset made", extra={"dataset": name, "directory": made.directory})
        return made

    def find(self, name: str) -> Dataset:
        """The dataset with this name, as whoever asks may see it. Raises DatasetNotFound."""
        found = self._store.get(name)
        if not current_sight.get().sees(found.owner):
            raise HiddenDataset(f'No dataset is called "{name[:100]}".')
        return found

    def owner_of(self, name: str) -> str | None:
        """Whom a dataset belongs to; None: nobody. Raises DatasetNotFound, DatabaseUnavailable."""
        return self._store.get(name).owner

    def get(self, name: str) -> DatasetDetails:
        """Everything about a dataset but its items. Raises DatasetNotFound."""
        found = self.find(name)
        latest = None if found.latest is None else self._store.get_version(found.serial, found.latest)
        view = None if latest is None else VersionView.of(latest)
        users, size = self._store.users(found.serial), self._holds.manifest_bytes(found.serial)
        return DatasetDetails(DatasetRow.of(found), view, tuple(users), size)

    def get_page(self, search: str | None, owner: str | None, page: PageRequest) -> Page[DatasetRow]:
        """A page of the datasets that whoever asks may see, newest first."""
        wanted = DatasetFilter(search, owner, current_sight.get().only_of)
        return read_page(lambda *cut: self._store.page(wanted, *cut), lambda row: row.serial, page).map(DatasetRow.of)

    def change(self, name: str, changes: Mapping[str, Any]) -> DatasetRow:
        """Changes name, description or tags. Raises DatasetNotFound, DatasetExists."""
        return DatasetRow.of(self._store.change(self.find(name).name, changes, self._clock.now()))

    def delete(self, name: str) -> DatasetDeleted:
        """Takes a dataset away. Raises DatasetNotFound, DatasetInUse."""
        gone = self._store.delete(self.find(name).name, self._clock.now())
        logger.info("dataset deleted", extra={"dataset": name})
        return DatasetDeleted(name, tuple(self._store.users(gone.serial)))

    # -- versions ------------------------------------------------------------------------------------------------------

    def find_version(self, dataset: Dataset, version: str | None = None) -> DatasetVersion:
        """The version of this name: its number, `sha256:…` of its manifest, or `latest`, which None means too.

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
        """One version. Raises DatasetNotFound, VersionNotFound."""
        return VersionView.of(self.find_version(self.find(name), version))

    def get_versions(self, name: str, page: PageRequest) -> Page[VersionView]:
        """A page of the versions, newest first. Raises DatasetNotFound."""
        serial = self.find(name).serial
        return read_page(lambda *cut: self._store.versions(serial, *cut), lambda row: row.ordinal, page).map(
            VersionView.of
        )

    def restore(self, name: str, version: str, actor: str) -> VersionView:
        """Makes what an earlier version holds the newest one again. Raises DatasetNotFound, VersionNotFound."""
        dataset = self.find(name)
        old = self.find_version(dataset, version)
        self._require_restorable(dataset, old)
        new = NewVersion(
            old.manifest_sha256,
            actor,
            f"version {old.ordinal} again",
            old.items,
            old.size_bytes,
            {"restored": old.ordinal},
            excluded=old.excluded,
        )
        note_change(about=name)
        if dataset.latest == old.ordinal:
            return VersionView.of(old)
        keeps = partial(keep_version, serial=dataset.serial, ordinal=old.ordinal)
        return VersionView.of(self._store.add_version(dataset.serial, new, dataset.latest, self._clock.now(), keeps))

    def keep(self, dataset: Dataset, version: DatasetVersion) -> None:
        """Keep a version that was exported from being superseded by a later edit."""
        self._store.runs.keep(dataset.serial, version.ordinal)

    def find_run(self, dataset: Dataset, latest: DatasetVersion, actor: str) -> VersionRun | None:
        """Return the run of edits that another edit by this person joins; None when it starts its own."""
        return self._store.runs.find(dataset.serial, latest.ordinal, actor, self._clock.now())

    def _require_restorable(self, dataset: Dataset, old: DatasetVersion) -> None:
        """Raise DatasetIsRegistered where a directory on the server was read again after this version."""
        if dataset.directory is None:
            return
        if any("directory" in origin for origin in self._store.origins(dataset.serial, old.ordinal)):
            raise DatasetIsRegistered(
                f"{dataset.directory} was read again after version {old.ordinal}, and may hold other files now: change "
                "the files there, or choose a later version.",
                data={"directory": dataset.directory},
            )

    def find_latest(self, dataset: Dataset, expected: int | None) -> DatasetVersion:
        """Return the newest version for an edit. Raises DatasetChanged when it is not the expected one."""
        latest = self.find_version(dataset)
        if expected not in (None, latest.ordinal):
            raise DatasetChanged(
                f"The newest version of {dataset.name} is {latest.ordinal}, not {expected}: look at it first.",
                data={"latest": latest.ordinal},
            )
        return latest

    def read_items(self, manifest_sha256: str) -> Iterator[ManifestItem]:
        """The items of a manifest, by path. Raises BlobMissing."""
        return read_manifest(self._blobs.lines(manifest_sha256))

    def manifest_lines(self, manifest_sha256: str) -> Iterator[bytes]:
        """Return the lines of a manifest, by whose bytes it is named. Raises BlobMissing."""
        self._blobs.path(manifest_sha256)
        return self._blobs.lines(manifest_sha256)

    def index(self, manifest_sha256: str) -> int:
        """The number under which the rows of a manifest's items are found; they are made where they are missing."""
        return self._items.ensure(manifest_sha256, lambda: self.read_items(manifest_sha256), self._clock.steady.now())

    def read_rows(self, manifest_sha256: str, read: Callable[[int], T]) -> T:
        """What `read` finds under the number of a manifest's rows. Raises DatasetChanged, and what `read` raises."""
        for _ in range(_TRIES):
            serial = self.index(manifest_sha256)
            found = read(serial)
            # An edit may have taken them over for its version meanwhile.
            if self._items.is_of(serial, manifest_sha256):
                return found
        raise DatasetChanged("It is edited faster than it can be read: try again.")

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
        """Makes these items the newest version; their blobs must be in the store. Of what is in the newest one already
        no other is made. `run`: the run of edits that it joins, or True where it begins one.

        Raises DatasetChanged when the newest version is not `expected_latest`, Invalid, QuotaExceeded, BlobMissing.
        """
        require_valid(items, items if derived is None else derived.changed.values())
        new_blobs = {} if derived is not None else self.new_blobs(dataset, items)
        self._bound.require_storage(dataset.owner, sum(new_blobs.values()))
        manifest = self.keep_manifest(items)
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
        logger.info("dataset has a new version", extra={"dataset": dataset.name, "version": made.ordinal})
        return made

    def new_blobs(self, dataset: Dataset, items: Sequence[ManifestItem]) -> dict[str, int]:
        """Return the sizes, by hash, of those blobs of the items that the dataset does not hold yet."""
        if dataset.directory is not None:
            return {}  # its files stay where they are
        held, sizes = self._holds.held(dataset.serial), {}
        for item in items:
            for sha256 in item.blobs:
                if sha256 not in held:
                    sizes[sha256] = item.size_bytes if sha256 == item.sha256 else self._size_of(sha256)
        return sizes

    def _size_of(self, sha256: str) -> int:
        return self._blobs.path(sha256).stat().st_size

    def keep_manifest(self, items: Sequence[ManifestItem]) -> Blob:
        """Store the manifest of these items, in a form that every server on this database reads."""
        with self._blobs.begin(compresses=self._store.may_compress()) as writer:
            lines = write_manifest(items)
            while part := b"".join(islice(lines, _LINES)):
                writer.write(part)
            return writer.commit()

    def require_stored(self, blobs: Collection[str]) -> None:
        """Keep these blobs from being collected for an hour. Raises Invalid for missing ones."""
        missing = self._blobs.keep(blobs)
        if missing:
            what = f"{len(missing)} files are not in the store, the first with the SHA-256 {missing[0]}."
            raise Invalid(mistakes=[Mistake("/items", what, "Upload them first.")])

    def _join(self, serial: int, run: VersionRun | bool, ordinal: int, actor: str) -> Also:
        now = self._clock.now()
        if isinstance(run, VersionRun):
            return partial(join_run, serial=serial, run=run, actor=actor, now=now)
        return partial(begin_run, serial=serial, ordinal=ordinal, now=now) if run else in_turn()

    def _make_rows(self, manifest_sha256: str, items: Sequence[ManifestItem], derived: Derived | None) -> Also:
        """Makes the rows of a manifest, or returns what takes them over when its version is made."""
        now, base = self._clock.steady.now(), None if derived is None else derived.manifest_sha256
        is_small = derived is not None and len(derived.changed) <= MOST_MOVED
        if base is None or derived is None or not is_small or not self._items.is_indexed(base):
            self._items.ensure(manifest_sha256, lambda: sorted(items, key=lambda item: item.path), now)
            return lambda connection: None
        return lambda connection: self._items.move(connection, base, manifest_sha256, derived.changed, now)


def _how_to_get_one(dataset: Dataset) -> str:
    if dataset.directory is None:
        return "upload something into it"
    return f"its directory is looked at soon, or now with POST …/datasets/{dataset.name}/refresh"


def require_own_files(dataset: Dataset) -> None:
    """Raises DatasetIsRegistered for a directory on the server, which is only read."""
    if dataset.directory is not None:
        raise DatasetIsRegistered(
            f"{dataset.name} is the directory {dataset.directory} on the server, which is only read: change the files "
            "there, and it is looked at again.",
            data={"directory": dataset.directory},
        )


def require_valid(items: Sequence[ManifestItem], new: Collection[ManifestItem]) -> None:
    """Raises Invalid; `new` are those of the items that no earlier version has."""
    if len(items) > MAX_ITEMS:
        raise Invalid(mistakes=[Mistake("/items", f"These are more than {MAX_ITEMS:,} items.", "Make two datasets.")])
    if sum(len(item.path) + len(item.caption or "") for item in items) > MAX_TEXT:
        what = f"Its paths and captions have more than {MAX_TEXT:,} characters together."
        raise Invalid(mistakes=[Mistake("/items", what, "Shorten captions, or make two datasets.")])
    seen: set[str] = set()
    mistakes: list[Mistake] = []
    for item in new:
        problem = _problem_of(item) or (f"Two items have the path {item.path[:200]}." if item.path in seen else None)
        if problem is not None:
            mistakes.append(Mistake("/items", problem))
        seen.add(item.path)
    if mistakes:
        raise Invalid(mistakes=capped(mistakes))


def _problem_of(item: ManifestItem) -> str | None:
    problem = problem_of_path(item.path)
    if problem is not None:
        return problem
    if item.caption is not None and len(item.caption) > MAX_CAPTION:
        return f"The caption of {item.path[:200]} has more than {MAX_CAPTION:,} characters."
    return None
