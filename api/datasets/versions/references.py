"""Dataset references in training requests: find, resolve and pin them, and lay out directories for each attempt.

A request names datasets in either of its two forms, as values or as TOML text.
"""

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from api.datasets.materials import DatasetDirectories, VersionLayout
from api.datasets.names import DATASET_NAME_INVALID, parse_reference, parse_version
from api.datasets.records.dataset_store import DatasetStore
from api.datasets.service import DatasetService
from api.domain.datasets.dataset import PinnedDataset
from api.domain.finding import finding_of, make_finding
from api.domain.reason import Reason, ReasonOrText
from api.domain.tasks.training import TrainingRequest, TrainingTask
from api.errors import Finding, FindingText, NotFound, ServiceError
from api.files.task_files import TaskFiles, task_files
from api.trainers.toml_text import Path as TOMLPath
from api.trainers.toml_text import edit, text_excess
from api.trainers.trainer import CacheFacts
from api.training.dataset_use import UsedDatasets

#: The key that names a dataset in a directory of a request, in place of `path`.
KEY = "dataset"

_SAME = Reason.of("the same items", "same_items")


@dataclass(frozen=True, slots=True)
class RequestedDataset:
    """A directory of a request that is a named dataset."""

    index: int
    pointer: str  #: JSON pointer to the directory
    reference: str
    given: Mapping[str, Any]  #: all values of the directory in the request


def find_datasets(request: TrainingRequest) -> tuple[list[RequestedDataset], list[Finding]]:
    """Return the directories that name datasets, and the errors in them."""
    found: list[RequestedDataset] = []
    mistakes: list[Finding] = []
    at, directories = _directories(request)
    for index, directory in enumerate(directories):
        if not isinstance(directory, Mapping) or KEY not in directory:
            continue
        pointer, reference = f"{at}/{index}", directory[KEY]
        if not isinstance(reference, str):
            mistakes.append(
                make_finding(
                    f"{pointer}/{KEY}",
                    FindingText("dataset_not_string", "The value is not a string.", 'Use "name" or "name@3".'),
                )
            )
        elif "path" in directory:
            mistakes.append(
                make_finding(
                    f"{pointer}/{KEY}",
                    FindingText(
                        "dataset_and_path",
                        "The directory has both `dataset` and `path`.",
                        "Set either `dataset` or `path`.",
                    ),
                )
            )
        else:
            found.append(RequestedDataset(index, pointer, reference, directory))
    return found, mistakes


def find_paths(request: TrainingRequest) -> Iterator[tuple[str, str]]:
    """Yield the paths in the directories of a request: a JSON pointer and the path."""
    at, directories = _directories(request, "path")
    for index, directory in enumerate(directories):
        if isinstance(directory, Mapping):
            for key, value in directory.items():
                if key.endswith("path") and isinstance(value, str):
                    yield f"{at}/{index}/{key}", value


def _directories(request: TrainingRequest, sought: str = KEY) -> tuple[str, list[Any]]:
    if request.dataset_toml is not None:
        values = _parse(request.dataset_toml, sought)
        key, at = "directory", "/dataset_toml/directory"
    else:
        values = request.dataset if isinstance(request.dataset, Mapping) else {}
        key = "directories" if "directories" in values else "directory"
        at = f"/dataset/{key}"
    found = values.get(key)
    return at, list(found) if isinstance(found, list | tuple) else []


def _parse(text: str, sought: str) -> Mapping[str, Any]:
    # The trainer's own check reports errors in the text.
    if sought not in text or text_excess(text) is not None:
        return {}
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        return {}


def rewrite(request: TrainingRequest, values: Mapping[int, Mapping[str, Any]]) -> TrainingRequest | None:
    """Return the request with these values in its directories, by index; the value None removes a key.

    Returns None if the request's text cannot be edited.
    """
    if not values:
        return request
    if request.dataset_toml is None:
        return _rewrite_structured(request, values)
    flat: dict[TOMLPath, Any] = {
        ("directory", index, key): value for index, each in values.items() for key, value in each.items()
    }
    removed = [path for path, value in flat.items() if value is None]
    changed = {path: value for path, value in flat.items() if value is not None}
    text = edit(request.dataset_toml, changed, removed)
    return None if text is None else replace(request, dataset_toml=text)


def _rewrite_structured(request: TrainingRequest, values: Mapping[int, Mapping[str, Any]]) -> TrainingRequest:
    key = "directories" if "directories" in request.dataset else "directory"
    directories = list(request.dataset[key])
    for index, changes in values.items():
        merged = {**directories[index], **changes}
        directories[index] = {name: value for name, value in merged.items() if value is not None}
    return replace(request, dataset={**request.dataset, key: directories})


@dataclass(frozen=True, slots=True)
class _Found:
    """A directory of a request with the version that it refers to."""

    requested: RequestedDataset
    pin: PinnedDataset


class UsableCaches(Protocol):
    """The caches that were built in advance."""

    def find_usable(
        self, task: TrainingTask, give: Callable[[], TrainingRequest], *, is_new: bool
    ) -> tuple[str | None, ReasonOrText | None]:
        """Return the task whose cache an attempt uses, or None; and why not if a cache was planned."""

    def require_same(self, task: TrainingTask, given: TrainingRequest) -> CacheFacts:
        """Raise ValueError if what the cache of a cache task depends on has changed since it was planned."""


class DatasetReferences:
    """Implements the dataset operations that trainings need before they start and for each attempt."""

    def __init__(
        self,
        service: DatasetService,
        store: DatasetStore,
        materials: DatasetDirectories,
        storage_root: Path,
        caches: UsableCaches | None = None,
        publish: Callable[[str, Reason], None] = lambda task_id, reason: None,
    ) -> None:
        """Use no caches if `caches` is None. `publish` adds an event to a task."""
        self._caches = caches
        self._publish = publish
        self._service = service
        self._store = store
        self._materials = materials
        self._storage_root = storage_root

    # -- before a training ---------------------------------------------------------------------------------------------

    def use(self, request: TrainingRequest, task_id: str, known_by: Sequence[str] = ()) -> UsedDatasets:
        """Resolve the datasets that a request names, and make views of them for the trainer's checks."""
        requested, mistakes = find_datasets(request)
        if not requested:
            return UsedDatasets(request, request, mistakes=tuple(mistakes))
        found: list[_Found] = []
        for each in requested:
            try:
                found.append(_Found(each, self._find(each.reference, known_by)))
            except NotFound as error:
                mistakes.append(
                    finding_of(
                        f"{each.pointer}/dataset",
                        error,
                        FindingText(
                            "dataset_not_usable",
                            "{why}",
                            'Use a dataset from GET /datasets: "name", "name@3", or "name@sha256:…".',
                        ),
                    )
                )
            except ValueError:
                name = each.reference[:100]
                mistakes.append(make_finding(f"{each.pointer}/dataset", DATASET_NAME_INVALID, name=name))
        if mistakes:
            return UsedDatasets(request, request, mistakes=tuple(mistakes))
        try:
            return self._show(request, task_files(self._storage_root, task_id), found, known_by)
        except ServiceError as error:
            return UsedDatasets(request, request, mistakes=(finding_of("/dataset", error),))

    def _find(self, text: str, known_by: Sequence[str]) -> PinnedDataset:
        """Return the version that a reference names. Raises NotFound, ValueError."""
        reference = parse_reference(text)
        if reference is None:
            raise ValueError(f'"{text[:100]}" is not the name of a dataset.')
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
        """Return the request in its stored form, and with directories that the trainer can read already."""
        views = [self._materials.view(each.pin) for each in found]
        homes = [
            self._materials.layout_for(files.datasets, each.pin, view) for each, view in zip(found, views, strict=True)
        ]
        stored = rewrite(request, {each.requested.index: {"dataset": _name(each.pin)} for each in found})
        given = rewrite(request, _replacements(found, views))
        if stored is None or given is None:
            mistake = make_finding(
                "/dataset_toml",
                FindingText(
                    "directories_not_insertable",
                    "The service cannot insert the directories of datasets into this text.",
                    "Write each directory as a separate [[directory]] table.",
                ),
            )
            return UsedDatasets(request, request, mistakes=(mistake,))
        return UsedDatasets(
            stored=stored,
            given=given,
            pins=tuple(each.pin for each in found),
            notes=self._describe_changes([each.pin for each in found], known_by),
            pointers={f"{each.requested.pointer}/path": f"{each.requested.pointer}/dataset" for each in found},
            beside=_beside(request, found),
            moved={now: then for view, home in zip(views, homes, strict=True) for now, then in view.moved_to(home)},
        )

    # -- for an attempt ------------------------------------------------------------------------------------------------

    def lay_out(self, task: TrainingTask, *, is_new: bool) -> TrainingRequest:
        """Return the request of a task with the directories of its datasets.

        A new attempt gets new directories that retain the caches of the earlier ones. Raises DatasetChanged,
        BlobMissing, OSError.
        """
        if not task.plan.datasets:
            return task.request
        if task.plan.rehearsal is not None:
            # It gets links to two items only.
            return self.with_views(task)
        requested, _ = find_datasets(task.request)
        by_name = {_name(pin): pin for pin in task.plan.datasets}
        found = [_Found(each, by_name[each.reference]) for each in requested]
        maker = self._find_cache(task, is_new=is_new)
        maker = maker or self._find_exported(task)
        files = task_files(self._storage_root, maker or task.task_id)
        is_laid = maker is not None or not is_new
        homes = [self._materials.lay_out(files.datasets, each.pin, is_new=not is_laid) for each in found]
        request = _put(task.request, _replacements(found, homes))
        # Checking the cache would write to it.
        return request if maker is None else replace(request, trust_cache=True)

    def _find_exported(self, task: TrainingTask) -> str | None:
        """Return the training of an export by the trainer if its directories with their cache can be used, else None.

        Caching a whole dataset for a single step would take hours.
        """
        exported = task.plan.export
        if exported is None:
            return None
        above = task_files(self._storage_root, exported.task_id).datasets
        has_all = all(self._materials.has_cache(above, pin) for pin in task.plan.datasets)
        return exported.task_id if has_all else None

    def _find_cache(self, task: TrainingTask, *, is_new: bool) -> str | None:
        """Return the task whose cache an attempt uses, and publish an event that it is used, or why not."""
        if self._caches is None or task.plan.cache is None:
            return None
        if task.plan.cache.is_made:
            if is_new:
                self._caches.require_same(task, self.with_views(task))
            return None
        maker, reason = self._caches.find_usable(task, lambda: self.with_views(task), is_new=is_new)
        if not is_new or (maker is None and reason is None):
            return maker
        event = Reason.of("it uses the cache that {task_id} has built", "cache_used", task_id=task.plan.cache.task_id)
        if maker is None:
            event = Reason.of(
                "the cache of {task_id} is not used ({why}): the training caches by itself",
                "cache_not_used",
                task_id=task.plan.cache.task_id,
                why=reason,
            )
        self._publish(task.task_id, event)
        return maker

    def with_views(self, task: TrainingTask) -> TrainingRequest:
        """Return the request of a task with views of its versions as directories, as checks use it.

        Raises DatasetChanged, BlobMissing, OSError.
        """
        requested, _ = find_datasets(task.request)
        by_name = {_name(pin): pin for pin in task.plan.datasets}
        found = [_Found(each, by_name[each.reference]) for each in requested]
        return _put(task.request, _replacements(found, [self._materials.view(each.pin) for each in found]))

    def homes(self, task: TrainingTask) -> list[Path]:
        """Return the task's own directories of media."""
        files = task_files(self._storage_root, task.task_id)
        return [self._materials.lay_out(files.datasets, pin, is_new=False).media for pin in task.plan.datasets]

    # -- changes -------------------------------------------------------------------------------------------------------

    def _describe_changes(self, pins: Sequence[PinnedDataset], known_by: Sequence[str]) -> tuple[Reason, ...]:
        """Describe for a resumed task which versions replace earlier ones, and later changes of its datasets."""
        if not known_by:
            return ()
        before = {pin.serial: pin for pin in self._store.pins_of(known_by)}
        return tuple(note for pin in dict.fromkeys(pins) for note in self._describe_pin(pin, before.get(pin.serial)))

    def _describe_pin(self, pin: PinnedDataset, old: PinnedDataset | None) -> Iterator[Reason]:
        """Describe how a version differs from the one used before, and from the newest one of its dataset."""
        dataset = self._store.get_by_serial(pin.serial)
        if old is not None and old.manifest != pin.manifest:
            what = self._compare(old.manifest_sha256, pin.manifest_sha256)
            yield Reason.of(
                "{dataset}: version {version} is used instead of {old}: {what}.",
                "note_version_replaced",
                dataset=pin.dataset,
                version=pin.version,
                old=old.version,
                what=what,
            )
        if dataset is None or not dataset.name:
            yield Reason.of(
                "{dataset} was deleted; its version {version} is kept for this task.",
                "note_dataset_deleted",
                dataset=pin.dataset,
                version=pin.version,
            )
        elif dataset.latest not in (None, pin.version):
            newest = self._service.find_version(dataset)
            what = self._compare(pin.manifest_sha256, newest.manifest_sha256)
            yield Reason.of(
                "{dataset}: version {version} is used; the newest is {newest}, with {what}.",
                "note_newer_version",
                dataset=dataset.name,
                version=pin.version,
                newest=newest.ordinal,
                what=what,
            )

    def _compare(self, before: str, after: str) -> list[Reason]:
        """Return the differences between two manifests."""
        if before == after:
            return [_SAME]
        old = {item.path: item for item in self._service.read_items(before)}
        new = {item.path: item for item in self._service.read_items(after)}
        both = [(old[path], new[path]) for path in old.keys() & new.keys()]
        files = sum(was.blobs != now.blobs for was, now in both)
        captions = sum(was.caption != now.caption for was, now in both)
        excluded = sum(now.excluded and not was.excluded for was, now in both)
        included = sum(was.excluded and not now.excluded for was, now in both)
        changes = [
            Reason.of("{n} {n|item|items} added", "items_added", n=len(new.keys() - old.keys())),
            Reason.of("{n} {n|item|items} removed", "items_removed", n=len(old.keys() - new.keys())),
            Reason.of("{n} {n|file|files} changed", "files_changed", n=files),
            Reason.of("{n} {n|caption|captions} changed", "captions_changed", n=captions),
            Reason.of("{n} {n|item|items} excluded", "items_excluded", n=excluded),
            Reason.of("{n} {n|item|items} included again", "items_included", n=included),
        ]
        return [each for each in changes if each.said.params["n"]] or [_SAME]


def _put(request: TrainingRequest, directories: Mapping[int, Mapping[str, Any]]) -> TrainingRequest:
    """Return the request with these directories. Raises ValueError."""
    given = rewrite(request, directories)
    if given is None:
        raise ValueError("The directories of datasets cannot be inserted into this text.")
    return given


def _beside(request: TrainingRequest, found: Sequence[_Found]) -> Reason | None:
    """Return why a request also depends on files outside of dataset versions, which no cache key covers; else None."""
    has_paths = any(True for _ in find_paths(request)) or any(
        key.endswith(("path", "file")) for each in found for key in each.requested.given
    )
    return Reason.of("it names files by path, which may change", "cache_paths") if has_paths else None


def _name(pin: PinnedDataset) -> str:
    return f"{pin.dataset}@{pin.manifest}"


def _replacements(found: Sequence[_Found], layouts: Sequence[VersionLayout]) -> dict[int, Mapping[str, Any]]:
    """Return the values that replace datasets by directories in the request."""
    values: dict[int, Mapping[str, Any]] = {}
    for each, layout in zip(found, layouts, strict=True):
        own: dict[str, Any] = {"dataset": None, "path": str(layout.media)}
        # Explicit paths in the request take precedence.
        if layout.masks is not None and "mask_path" not in each.requested.given:
            own["mask_path"] = str(layout.masks)
        if layout.controls is not None and "control_path" not in each.requested.given:
            own["control_path"] = str(layout.controls)
        values[each.requested.index] = own
    return values
