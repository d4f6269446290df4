"""Named datasets in requests for trainings: found, pinned by their manifest, and laid out for each attempt."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from api.datasets.caches import DatasetCaches
from api.datasets.materials import DatasetMaterials, Laid
from api.datasets.names import parse_reference, parse_version
from api.datasets.requested_datasets import RequestedDataset, find_datasets, find_paths, rewrite
from api.datasets.service import DatasetService
from api.datasets.store import DatasetStore
from api.domain.dataset import PinnedDataset
from api.domain.reason import Reason
from api.domain.training import TrainingRequest, TrainingTask
from api.errors import Mistake, NotFound, ServiceError
from api.files.task_files import TaskFiles, task_files
from api.training.dataset_use import UsedDatasets

_REMEDY = 'Name one of GET /datasets: "name", "name@3", or "name@sha256:…".'


@dataclass(frozen=True, slots=True)
class _Found:
    """A directory of a request with the version that it stands for."""

    asked: RequestedDataset
    pin: PinnedDataset


class DatasetReferences:
    """Implements what trainings ask of datasets, before they are started and when an attempt is."""

    def __init__(
        self,
        service: DatasetService,
        store: DatasetStore,
        materials: DatasetMaterials,
        storage_root: Path,
        caches: DatasetCaches | None = None,
        tell: Callable[[str, Reason], None] = lambda task_id, said: None,
    ) -> None:
        """`caches` None: nothing is cached ahead. `tell` makes an event of a task."""
        self._caches = caches
        self._tell = tell
        self._service = service
        self._store = store
        self._materials = materials
        self._storage_root = storage_root

    # -- before a training ---------------------------------------------------------------------------------------------

    def use(self, request: TrainingRequest, task_id: str, known_by: Sequence[str] = ()) -> UsedDatasets:
        """Finds the datasets that a request names, and shows them to the trainer where they lie."""
        asked, mistakes = find_datasets(request)
        if not asked:
            return UsedDatasets(request, request, mistakes=tuple(mistakes))
        found: list[_Found] = []
        for each in asked:
            try:
                found.append(_Found(each, self._find(each.reference, known_by)))
            except (NotFound, ValueError) as error:
                mistakes.append(Mistake(f"{each.pointer}/dataset", str(error), _REMEDY))
        if mistakes:
            return UsedDatasets(request, request, mistakes=tuple(mistakes))
        try:
            return self._show(request, task_files(self._storage_root, task_id), found, known_by)
        except ServiceError as error:
            return UsedDatasets(request, request, mistakes=(Mistake("/dataset", str(error)),))

    def _find(self, text: str, known_by: Sequence[str]) -> PinnedDataset:
        """Raises NotFound, ValueError."""
        reference = parse_reference(text)
        if reference is None:
            raise ValueError(f'"{text[:100]}" is no name of a dataset.')
        version = parse_version(reference.version)
        pinned = self._store.find_pinned(known_by, version) if isinstance(version, str) and known_by else None
        if pinned is not None:
            return pinned
        dataset = self._service.find(reference.name)
        found = self._service.find_version(dataset, reference.version)
        manifest = f"sha256:{found.manifest_sha256}"
        return PinnedDataset(dataset.name, found.ordinal, manifest, found.included, dataset.serial)

    def _show(
        self, request: TrainingRequest, files: TaskFiles, found: Sequence[_Found], known_by: Sequence[str]
    ) -> UsedDatasets:
        """The request as it is kept, and with directories that the trainer can look into already."""
        views = [self._materials.view(each.pin) for each in found]
        homes = [self._materials.home(files.datasets, each.pin, view) for each, view in zip(found, views, strict=True)]
        kept = rewrite(request, {each.asked.index: {"dataset": _name(each.pin)} for each in found})
        given = rewrite(request, _directories(found, views))
        if kept is None or given is None:
            what = "The service cannot put the directories of datasets into this text."
            mistake = Mistake("/dataset_toml", what, "Write each directory as a [[directory]] of its own.")
            return UsedDatasets(request, request, mistakes=(mistake,))
        return UsedDatasets(
            kept=kept,
            given=given,
            pins=tuple(each.pin for each in found),
            notes=self._tell_changes([each.pin for each in found], known_by),
            pointers={f"{each.asked.pointer}/path": f"{each.asked.pointer}/dataset" for each in found},
            beside=_beside(request, found),
            moved={now: then for view, home in zip(views, homes, strict=True) for now, then in view.moved_to(home)},
        )

    # -- for an attempt ------------------------------------------------------------------------------------------------

    def lay_out(self, task: TrainingTask, *, is_new: bool) -> TrainingRequest:
        """The request of a task with the directories of its datasets; for a new attempt they are made anew, and caches
        in them are kept. Raises DatasetChanged, BlobMissing, OSError.
        """
        if not task.plan.datasets:
            return task.request
        asked, _ = find_datasets(task.request)
        by_name = {_name(pin): pin for pin in task.plan.datasets}
        found = [_Found(each, by_name[each.reference]) for each in asked]
        maker = self._find_cache(task, is_new=is_new)
        files = task_files(self._storage_root, maker or task.task_id)
        is_laid = maker is not None or not is_new
        homes = [self._materials.lay(files.datasets, each.pin, is_new=not is_laid) for each in found]
        request = _put(task.request, _directories(found, homes))
        # Whoever checked it would write to it.
        return request if maker is None else replace(request, trust_cache=True)

    def _find_cache(self, task: TrainingTask, *, is_new: bool) -> str | None:
        """The task whose cache an attempt uses; an event tells why not, or that it does."""
        if self._caches is None or task.plan.cache is None:
            return None
        if task.plan.cache.is_made:
            if is_new:
                self._caches.require_same(task, self.give_views(task))
            return None
        maker, reason = self._caches.find_place(task, lambda: self.give_views(task), is_new=is_new)
        if not is_new or (maker is None and reason is None):
            return maker
        said = Reason.of("it uses the cache that {task_id} has made", "cache_used", task_id=task.plan.cache.task_id)
        if maker is None:
            said = Reason.of(
                "the cache of {task_id} is not used, as {why}: it caches by itself",
                "cache_not_used",
                task_id=task.plan.cache.task_id,
                why=reason,
            )
        self._tell(task.task_id, said)
        return maker

    def give_views(self, task: TrainingTask) -> TrainingRequest:
        """The request of a task with views of its versions as directories, as checks are given it.

        Raises DatasetChanged, BlobMissing, OSError.
        """
        asked, _ = find_datasets(task.request)
        by_name = {_name(pin): pin for pin in task.plan.datasets}
        found = [_Found(each, by_name[each.reference]) for each in asked]
        return _put(task.request, _directories(found, [self._materials.view(each.pin) for each in found]))

    def homes(self, task: TrainingTask) -> list[Path]:
        """The directories of media that a task has of its own."""
        files = task_files(self._storage_root, task.task_id)
        return [self._materials.lay(files.datasets, pin, is_new=False).media for pin in task.plan.datasets]

    # -- what has changed ----------------------------------------------------------------------------------------------

    def _tell_changes(self, pins: Sequence[PinnedDataset], known_by: Sequence[str]) -> tuple[str, ...]:
        """For a task that goes on: what it uses now instead of before, and what has become of its datasets since."""
        if not known_by:
            return ()
        before = {pin.serial: pin for pin in self._store.pins_of(known_by)}
        notes = []
        for pin in dict.fromkeys(pins):
            old = before.get(pin.serial)
            if old is not None and old.manifest != pin.manifest:
                what = self._compare(old.manifest_sha256, pin.manifest_sha256)
                notes.append(f"{pin.dataset}: version {pin.version} is used, and no longer {old.version}: {what}.")
            dataset = self._store.get_by_serial(pin.serial)
            if dataset is None or not dataset.name:
                notes.append(f"{pin.dataset} was deleted; its version {pin.version} is kept for this task.")
            elif dataset.latest not in (None, pin.version):
                newest = self._service.find_version(dataset)
                what = self._compare(pin.manifest_sha256, newest.manifest_sha256)
                notes.append(
                    f"{dataset.name}: version {pin.version} is used; its newest is {newest.ordinal}, with {what}."
                )
        return tuple(notes)

    def _compare(self, before: str, after: str) -> str:
        if before == after:
            return "the same items"
        old = {item.path: item for item in self._service.read_items(before)}
        new = {item.path: item for item in self._service.read_items(after)}
        both = [(old[path], new[path]) for path in old.keys() & new.keys()]
        counts = {
            "items added": len(new.keys() - old.keys()),
            "items removed": len(old.keys() - new.keys()),
            "files changed": sum(was.blobs != now.blobs for was, now in both),
            "captions changed": sum(was.caption != now.caption for was, now in both),
            "items excluded": sum(now.excluded and not was.excluded for was, now in both),
            "items included again": sum(was.excluded and not now.excluded for was, now in both),
        }
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "the same items"


def _put(request: TrainingRequest, directories: Mapping[int, Mapping[str, Any]]) -> TrainingRequest:
    """The request with these directories. Raises ValueError."""
    given = rewrite(request, directories)
    if given is None:
        raise ValueError("The directories of datasets cannot be put into this text.")
    return given


def _beside(request: TrainingRequest, found: Sequence[_Found]) -> str | None:
    """What else than versions of datasets a request trains on: what a cache could not be known by."""
    if any(True for _ in find_paths(request)):
        return "it names files by path, which may change"
    if any(key.endswith(("path", "file")) for each in found for key in each.asked.given):
        return "it names files by path, which may change"
    return None


def _name(pin: PinnedDataset) -> str:
    return f"{pin.dataset}@{pin.manifest}"


def _directories(found: Sequence[_Found], laid: Sequence[Laid]) -> dict[int, Mapping[str, Any]]:
    """The values with which directories stand in the request for their datasets."""
    values: dict[int, Mapping[str, Any]] = {}
    for each, place in zip(found, laid, strict=True):
        own: dict[str, Any] = {"dataset": None, "path": str(place.media)}
        # Who names others means them.
        if place.masks is not None and "mask_path" not in each.asked.given:
            own["mask_path"] = str(place.masks)
        if place.controls is not None and "control_path" not in each.asked.given:
            own["control_path"] = str(place.controls)
        values[each.asked.index] = own
    return values
