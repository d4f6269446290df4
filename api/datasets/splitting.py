"""Splits: some items of a dataset move into another one. Files are stored once, whatever datasets hold them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from api.datasets.adding import require_own_places
from api.datasets.captions import find_named
from api.datasets.item_edits import count_items, require_some_left
from api.datasets.retrying import edit_newest
from api.datasets.rows import NewVersion
from api.datasets.service import DatasetService, NoBound, StorageBound, require_valid
from api.datasets.split_store import DatasetSplitStore, SplitSide
from api.datasets.store import DatasetStore
from api.datasets.targets import find_writable
from api.datasets.views import DatasetSplit, VersionView
from api.domain.access import Principal
from api.domain.dataset import Dataset, DatasetVersion, ManifestItem
from api.errors import DatasetChanged, DatasetExists, DatasetIsRegistered, Invalid, Mistake
from api.files.archives.limits import BadArchive
from api.files.archives.names import fold
from api.util.bounds import capped
from api.util.clock import Clock


@dataclass(frozen=True, slots=True)
class SplitRequest:
    """The ids of the items to be moved, in the order of the request, and the name of the dataset that gets them."""

    item_ids: Sequence[str]
    into: str
    expected_version: int | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class _Split:
    """A split that is allowed: both datasets, and the items of both afterwards."""

    source: Dataset
    latest: DatasetVersion
    rest: Sequence[ManifestItem]
    moved: Sequence[ManifestItem]
    target: Dataset
    there: Sequence[ManifestItem]  #: the items that the target has already


class DatasetSplitter:
    """Splits datasets."""

    def __init__(
        self,
        datasets: DatasetService,
        store: DatasetStore,
        splits: DatasetSplitStore,
        clock: Clock,
        bound: StorageBound | None = None,
    ) -> None:
        self._datasets = datasets
        self._store = store
        self._splits = splits
        self._clock = clock
        self._bound = bound or NoBound()

    def split(self, name: str, request: SplitRequest, asks: Principal, *, dry_run: bool) -> DatasetSplit:
        """Move the items, or with `dry_run` only check that they can be moved.

        Raises DatasetNotFound, VersionNotFound, ItemNotFound, DatasetChanged, DatasetIsRegistered, DatasetExists,
        NotYours, Invalid, QuotaExceeded.
        """
        return edit_newest(request.expected_version, lambda: self._split(name, request, asks, dry_run=dry_run))

    def _split(self, name: str, request: SplitRequest, asks: Principal, *, dry_run: bool) -> DatasetSplit:
        found = self._find(name, request, asks)
        result = DatasetSplit(
            dry_run=dry_run,
            moved=len(found.moved),
            into=found.target.name,
            is_new=not found.target.serial,
            items=len(found.rest),
            previous=found.latest.ordinal,
            version=None,
            into_version=None,
        )
        if dry_run:
            return result
        sides = self._sides(found, request, asks.actor)
        try:
            kept, moved = self._splits.split(*sides, self._clock.now(), self._clock.steady.now())
        except DatasetExists as error:
            raise DatasetChanged(f"{request.into} was made by another request just now: try again.") from error
        return replace(result, version=VersionView.of(kept), into_version=VersionView.of(moved))

    def get_made(self, name: str, into: str, numbers: Mapping[str, int]) -> DatasetSplit:
        """Return a split that was made before, by the numbers that the audit has of it.

        Raises DatasetNotFound, VersionNotFound.
        """
        kept, moved = (
            self._datasets.get_version(dataset, str(numbers[word]))
            for dataset, word in ((name, "version"), (into, "into_version"))
        )
        return DatasetSplit(
            dry_run=False,
            moved=numbers["moved"],
            into=into,
            is_new=moved.version == 1,
            items=kept.items,
            previous=kept.version - 1,
            version=kept,
            into_version=moved,
        )

    def _find(self, name: str, request: SplitRequest, asks: Principal) -> _Split:
        source = self._datasets.find(name)
        if source.directory is not None:
            raise DatasetIsRegistered(
                f"The files of {name} belong to the directory {source.directory}, and cannot be moved: exclude or "
                "remove the items here, and upload their files into another dataset.",
                data={"directory": source.directory},
            )
        if request.into == name:
            raise Invalid(mistakes=[Mistake("/into", "This is the dataset itself.", "Name another dataset.")])
        latest = self._datasets.find_latest(source, request.expected_version)
        items = list(self._datasets.read_items(latest.manifest_sha256))
        ids = find_named(items, request.item_ids)
        rest = [item for item in items if item.path not in ids]
        require_some_left(items, rest)
        moved = [item for item in items if item.path in ids]
        target = find_writable(self._datasets, request.into, asks) or self._new(request.into, source)
        there = self._items_of(target)
        _require_free_paths(there, moved, request)
        require_valid([*there, *moved], ())
        return _Split(source, latest, rest, moved, target, there)

    def _items_of(self, dataset: Dataset) -> Sequence[ManifestItem]:
        if dataset.latest is None:
            return ()
        return list(self._datasets.read_items(self._datasets.find_version(dataset).manifest_sha256))

    def _new(self, name: str, source: Dataset) -> Dataset:
        # Its files belong to the owner of the source, whoever asks for the split.
        now = self._clock.now()
        return Dataset(0, name, source.owner, None, (), None, now, now, None)

    def _sides(self, found: _Split, request: SplitRequest, actor: str) -> tuple[SplitSide, SplitSide]:
        """Return what either dataset gets. Raises QuotaExceeded, Invalid."""
        source, target, count = found.source, found.target, count_items(len(found.moved))
        new = self._datasets.new_blobs(target, found.moved)
        is_shared = target.owner == source.owner
        if not is_shared:
            self._bound.require_storage(target.owner, sum(new.values()))
        self._datasets.require_stored(new)
        here: dict[str, Any] = {"edited": found.latest.ordinal, "split": len(found.moved), "into": target.name}
        there = {"split_from": f"{source.name}@{found.latest.ordinal}", **self._repeats(found)}
        said = f"{count} split off into {target.name}", f"{count} of {source.name}, version {found.latest.ordinal}"
        kept, kept_list = self._draft(found.rest, actor, request.message or said[0], here)
        moved, moved_list = self._draft([*found.there, *found.moved], actor, request.message or said[1], there)
        if is_shared:
            moved = replace(moved, split_from=source.serial, shared_bytes=sum(new.values()))
        return SplitSide(source, kept, kept_list), SplitSide(target, moved, {**new, **moved_list})

    def _draft(
        self, items: Sequence[ManifestItem], actor: str, message: str, origin: Mapping[str, Any]
    ) -> tuple[NewVersion, dict[str, int]]:
        """Return a version of these items, and its manifest with the size."""
        manifest, size = self._datasets.keep_manifest(items), sum(item.size_bytes for item in items)
        excluded = sum(item.excluded for item in items)
        new = NewVersion(manifest.sha256, actor, message, len(items), size, origin, excluded=excluded)
        return new, {manifest.sha256: manifest.size_bytes}

    def _repeats(self, found: _Split) -> dict[str, Any]:
        """Return how often the moved folders are repeated, as the latest upload of each said."""
        folders = {item.path.rpartition("/")[0] for item in found.moved}
        said = dict[str, int]()
        for origin in reversed(self._store.origins(found.source.serial)):
            said.update(origin.get("num_repeats") or {})
        own = {folder: repeats for folder, repeats in sorted(said.items()) if folder in folders}
        return {"num_repeats": own} if own else {}


def _require_free_paths(there: Sequence[ManifestItem], moved: Sequence[ManifestItem], request: SplitRequest) -> None:
    """Raise Invalid for every moved item whose path the target has already."""
    taken = {fold(item.path) for item in there}
    place = {item_id: index for index, item_id in enumerate(request.item_ids)}
    remedy = "Leave it out, or choose another dataset."
    clashes = [
        Mistake(f"/items/{place[item.item_id]}", f"{request.into} has an item called {item.path[:200]}.", remedy)
        for item in moved
        if fold(item.path) in taken
    ]
    if clashes:
        raise Invalid(mistakes=capped(sorted(clashes, key=lambda each: int(each.pointer.rpartition("/")[2]))))
    try:
        require_own_places((item.path for item in there), (item.path for item in moved))
    except BadArchive as clash:
        raise Invalid(mistakes=[Mistake("/items", f"{clash.entry} {clash.reason}.", remedy)]) from None
