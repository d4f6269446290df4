"""Split datasets: move items into another dataset. Files are stored once, even if several datasets hold them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from api.datasets.caption_edits import find_named
from api.datasets.item_edits import count_items, require_some_left
from api.datasets.items.adding import require_distinct_paths
from api.datasets.records.dataset_store import DatasetStore
from api.datasets.records.rows import NewVersion
from api.datasets.records.split_store import DatasetSplitStore, SplitSide
from api.datasets.retrying import edit_newest
from api.datasets.service import DatasetService, NoQuota, StorageQuota, require_valid
from api.datasets.targets import find_writable
from api.datasets.views import DatasetSplit, VersionView
from api.domain.access.principal import Principal
from api.domain.datasets.dataset import Dataset, DatasetVersion, ManifestItem
from api.domain.finding import make_finding
from api.errors import DatasetChanged, DatasetExists, DatasetIsRegistered, FindingText, Invalid
from api.files.archives.limits import BadArchive
from api.files.archives.names import fold
from api.util.clock import Clock
from api.util.http.validation import capped


@dataclass(frozen=True, slots=True)
class SplitRequest:
    """The ids of the items to move, in the order of the request, and the name of the target dataset."""

    item_ids: Sequence[str]
    into: str
    expected_version: int | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class _Split:
    """A valid split: both datasets, and their items."""

    source: Dataset
    latest: DatasetVersion
    rest: Sequence[ManifestItem]
    moved: Sequence[ManifestItem]
    target: Dataset
    existing: Sequence[ManifestItem]  #: items that the target has already


class DatasetSplitter:
    """Splits datasets."""

    def __init__(
        self,
        datasets: DatasetService,
        store: DatasetStore,
        splits: DatasetSplitStore,
        clock: Clock,
        bound: StorageQuota | None = None,
    ) -> None:
        self._datasets = datasets
        self._store = store
        self._splits = splits
        self._clock = clock
        self._bound = bound or NoQuota()

    def split(self, name: str, request: SplitRequest, principal: Principal, *, dry_run: bool) -> DatasetSplit:
        """Move the items, or with `dry_run` only check that they can be moved.

        Raises DatasetNotFound, VersionNotFound, ItemNotFound, DatasetChanged, DatasetIsRegistered, DatasetExists,
        NotYours, Invalid, QuotaExceeded.
        """
        return edit_newest(request.expected_version, lambda: self._split(name, request, principal, dry_run=dry_run))

    def _split(self, name: str, request: SplitRequest, principal: Principal, *, dry_run: bool) -> DatasetSplit:
        found = self._find(name, request, principal)
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
        sides = self._sides(found, request, principal.actor)
        try:
            rest, moved = self._splits.split(*sides, self._clock.now(), self._clock.steady.now())
        except DatasetExists as error:
            raise DatasetChanged(
                f"{request.into} was created by another request at the same time: try again."
            ) from error
        return replace(result, version=VersionView.of(rest), into_version=VersionView.of(moved))

    def get_made(self, name: str, into: str, numbers: Mapping[str, int]) -> DatasetSplit:
        """Return an earlier split by the version numbers in the audit.

        Raises DatasetNotFound, VersionNotFound.
        """
        rest, moved = (
            self._datasets.get_version(dataset, str(numbers[key]))
            for dataset, key in ((name, "version"), (into, "into_version"))
        )
        return DatasetSplit(
            dry_run=False,
            moved=numbers["moved"],
            into=into,
            is_new=moved.version == 1,
            items=rest.items,
            previous=rest.version - 1,
            version=rest,
            into_version=moved,
        )

    def _find(self, name: str, request: SplitRequest, principal: Principal) -> _Split:
        source = self._datasets.find(name)
        if source.directory is not None:
            raise DatasetIsRegistered(
                f"The files of {name} belong to the directory {source.directory} and cannot be moved: exclude or "
                "remove the items here, and upload their files into another dataset.",
                data={"directory": source.directory},
            )
        if request.into == name:
            raise Invalid(
                mistakes=[
                    make_finding(
                        "/into",
                        FindingText("split_into_itself", "This is the dataset itself.", "Choose another dataset."),
                    )
                ]
            )
        latest = self._datasets.find_latest(source, request.expected_version)
        items = list(self._datasets.read_items(latest.manifest_sha256))
        ids = find_named(items, request.item_ids)
        rest = [item for item in items if item.path not in ids]
        require_some_left(items, rest)
        moved = [item for item in items if item.path in ids]
        target = find_writable(self._datasets, request.into, principal) or self._new(request.into, source)
        existing = self._items_of(target)
        _require_free_paths(existing, moved, request)
        require_valid([*existing, *moved], ())
        return _Split(source, latest, rest, moved, target, existing)

    def _items_of(self, dataset: Dataset) -> Sequence[ManifestItem]:
        if dataset.latest is None:
            return ()
        return list(self._datasets.read_items(self._datasets.find_version(dataset).manifest_sha256))

    def _new(self, name: str, source: Dataset) -> Dataset:
        # The files belong to the owner of the source, not to the user who requests the split.
        now = self._clock.now()
        return Dataset(0, name, source.owner, None, (), None, now, now, None)

    def _sides(self, found: _Split, request: SplitRequest, actor: str) -> tuple[SplitSide, SplitSide]:
        """Return the new versions of both datasets. Raises QuotaExceeded, Invalid."""
        source, target, count = found.source, found.target, count_items(len(found.moved))
        new = self._datasets.new_blobs(target, found.moved)
        is_shared = target.owner == source.owner
        if not is_shared:
            self._bound.require_storage(target.owner, sum(new.values()))
        self._datasets.require_stored(new)
        source_origin: dict[str, Any] = {"edited": found.latest.ordinal, "split": len(found.moved), "into": target.name}
        target_origin = {"split_from": f"{source.name}@{found.latest.ordinal}", **self._repeats(found)}
        messages = f"{count} moved to {target.name}", f"{count} from {source.name}, version {found.latest.ordinal}"
        rest, rest_list = self._draft(found.rest, actor, request.message or messages[0], source_origin)
        moved, moved_list = self._draft(
            [*found.existing, *found.moved], actor, request.message or messages[1], target_origin
        )
        if is_shared:
            moved = replace(moved, split_from=source.serial, shared_bytes=sum(new.values()))
        return SplitSide(source, rest, rest_list), SplitSide(target, moved, {**new, **moved_list})

    def _draft(
        self, items: Sequence[ManifestItem], actor: str, message: str, origin: Mapping[str, Any]
    ) -> tuple[NewVersion, dict[str, int]]:
        """Return a version of these items, and its manifest's size by hash."""
        manifest, size = self._datasets.store_manifest(items), sum(item.size_bytes for item in items)
        excluded = sum(item.excluded for item in items)
        new = NewVersion(manifest.sha256, actor, message, len(items), size, origin, excluded=excluded)
        return new, {manifest.sha256: manifest.size_bytes}

    def _repeats(self, found: _Split) -> dict[str, Any]:
        """Return the repeats of the directories of moved items, as set by the latest upload of each."""
        directories = {item.path.rpartition("/")[0] for item in found.moved}
        repeats_of = dict[str, int]()
        for origin in reversed(self._store.origins(found.source.serial)):
            repeats_of.update(origin.get("num_repeats") or {})
        own = {path: repeats for path, repeats in sorted(repeats_of.items()) if path in directories}
        return {"num_repeats": own} if own else {}


def _require_free_paths(existing: Sequence[ManifestItem], moved: Sequence[ManifestItem], request: SplitRequest) -> None:
    """Raise Invalid for every moved item whose path exists in the target."""
    taken = {fold(item.path) for item in existing}
    position = {item_id: index for index, item_id in enumerate(request.item_ids)}
    clashes = [
        make_finding(
            f"/items/{position[item.item_id]}",
            FindingText(
                "item_path_taken",
                "{dataset} already has an item with the path {path}.",
                "Leave it out, or choose another dataset.",
            ),
            dataset=request.into,
            path=item.path[:200],
        )
        for item in moved
        if fold(item.path) in taken
    ]
    if clashes:
        raise Invalid(mistakes=capped(sorted(clashes, key=lambda each: int(each.pointer.rpartition("/")[2]))))
    try:
        require_distinct_paths((item.path for item in existing), (item.path for item in moved))
    except BadArchive as clash:
        mistake = make_finding(
            "/items",
            FindingText("item_paths_clash", "{path} {why}.", "Leave it out, or choose another dataset."),
            path=clash.entry,
            why=clash.reason,
        )
        raise Invalid(mistakes=[mistake]) from None
