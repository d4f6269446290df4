"""Makes a new version of what the preprocessing program has made."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from api.datasets.dataset_toml import write_dataset_toml
from api.datasets.derivations import DerivationStore
from api.datasets.outcomes import NewItems, Output, Tally, outputs_of
from api.datasets.preprocess_views import PreprocessMetadata, PreprocessResult
from api.datasets.preprocess_wish import PreprocessWish
from api.datasets.service import DatasetService
from api.datasets.store import DatasetStore
from api.datasets.work_files import SourceFiles
from api.domain.access import ANYBODY
from api.domain.dataset import Blob, Dataset, DatasetVersion, ManifestItem, included_items
from api.domain.training import TrainingTask
from api.errors import DatasetChanged, DatasetExists
from api.files.blobs import BlobStore
from api.files.task_files import task_files, write_private
from api.jobs.preprocessing.work import key_of, read_record
from api.training.attempts.harvest import Harvest
from api.util.clock import Clock
from api.util.foreign_files import MAX_BYTES, open_plain, read
from api.util.foreign_trees import remove_tree

_CHUNK = 2**20

#: How many times a version is offered while others make versions of the same dataset.
_TRIES = 8

#: The record of a video that was cut into as many pieces as may be is no longer.
_RECORD_BYTES = 4 * MAX_BYTES


class PreprocessHarvest:
    """Reads what was made, keeps it, and makes the version. One thread uses it."""

    def __init__(
        self,
        datasets: DatasetService,
        store: DatasetStore,
        blobs: BlobStore,
        derivations: DerivationStore,
        files: SourceFiles,
        clock: Clock,
        storage_root: Path,
    ) -> None:
        self._datasets = datasets
        self._store = store
        self._blobs = blobs
        self._derivations = derivations
        self._files = files
        self._clock = clock
        self._storage_root = storage_root

    def take_up(self, task: TrainingTask, output_dir: Path) -> Harvest:
        """The result. Raises ServiceError, OSError, and ValueError where no item can be read."""
        noted = task_files(self._storage_root, task.task_id).root / "harvest.json"
        try:
            return Harvest(orjson.loads(read(str(noted), levels=1)))
        except FileNotFoundError:
            pass
        wish = PreprocessWish.from_config(task.request.config["wish"])
        given = task.request.config["input"]
        items = list(self._datasets.read_items(given["manifest"]))
        if task.request.config["target"]["serial"] != task.plan.datasets[0].serial:
            items = included_items(items)  # another dataset does not get what this one excludes
        source = self._source(task)
        tally, new, outputs = self._collect(items, wish, output_dir / "made")
        chosen = [item for item in included_items(items) if wish.chooses(item.path)]
        if chosen and tally.problem_count == len(chosen):
            first = tally.problems[0]
            raise ValueError(f"None of its {len(chosen):,} items can be read; {first.path}: {first.problem}.")
        for item in new.items:
            self._files.store(source, item)
        made = new.items if wish.captions is None else wish.captions.apply(new.items)
        dataset, version = self._add_version(task, wish, given, made)
        result = _show(dataset, version, made, tally, wish, chosen, outputs)
        content = orjson.dumps(asdict(result))
        write_private(noted, content, levels=1)
        for name in ("made", "sources"):
            remove_tree(str(output_dir / name), levels=3)
        return Harvest(orjson.loads(content))

    def _source(self, task: TrainingTask) -> Dataset:
        source = self._store.get_by_serial(task.plan.datasets[0].serial)
        if source is None:
            raise ValueError(f"{task.plan.datasets[0].dataset} is no more.")
        return source

    # -- what was made -------------------------------------------------------------------------------------------------

    def _collect(
        self, items: Sequence[ManifestItem], wish: PreprocessWish, made: Path
    ) -> tuple[Tally, NewItems, list[Output]]:
        tally, new, fresh, shown = Tally(), NewItems(), dict[str, Any](), list[Output]()
        keys = [key_of((item.sha256, item.mask_sha256, item.control_sha256), wish.media) for item in items]
        known = {} if wish.media.is_empty else self.known(keys)
        for item, key in zip(items, keys, strict=True):
            if wish.media.is_empty or item.excluded or not wish.chooses(item.path):
                new.keep(item)
                tally.unchanged += 1
                continue
            outputs, problem = known.get(key), None
            if outputs is None:
                outputs, problem = self._read(made, key, tally)
            if problem is not None:
                tally.note_problem(item.path, problem)
            elif key not in known:
                fresh[key] = [output.as_json() for output in outputs]
            for output in outputs:
                new.add(item, output)
            tally.count(outputs, is_known=key in known)
            shown = outputs if len(wish.paths or items) == 1 else shown
        self._derivations.keep(fresh, self._clock.steady.now())
        return tally, new, shown

    def known(self, keys: Sequence[str]) -> dict[str, list[Output]]:
        """What was made before and is still there, by key; it is kept from being collected for a while."""
        found = self._derivations.find(keys, self._clock.steady.now())
        known = {key: [Output.from_json(each) for each in kept] for key, kept in found.items()}
        hashes = {sha256 for outputs in known.values() for output in outputs for sha256 in output.hashes}
        missing = set(self._blobs.keep(hashes))
        gone = [key for key, outputs in known.items() if any(missing.intersection(output.hashes) for output in outputs)]
        self._derivations.forget(gone)
        return {key: outputs for key, outputs in known.items() if key not in gone}

    def _read(self, made: Path, key: str, tally: Tally) -> tuple[list[Output], str | None]:
        try:
            record = read_record(read(str(made / f"{key}.json"), _RECORD_BYTES))
        except FileNotFoundError:
            # It was known when the task began, and was collected since: versions that had it were deleted.
            return [Output("", None, None, None, None)], "what was made of it before is gone: start it again"
        tally.dropped += record.dropped
        return outputs_of(record, lambda name: self._take(made / name)), record.problem

    def _take(self, path: Path) -> Blob:
        """Copies a file into the store: whoever has made it may have it open still."""
        handle = open_plain(str(path))
        try:
            with self._blobs.begin() as writer:
                while part := os.read(handle, _CHUNK):
                    writer.write(part)
                return writer.commit()
        finally:
            os.close(handle)

    # -- the version ---------------------------------------------------------------------------------------------------

    def _add_version(
        self, task: TrainingTask, wish: PreprocessWish, given: Mapping[str, Any], items: Sequence[ManifestItem]
    ) -> tuple[Dataset, DatasetVersion]:
        origin = {"task": task.task_id, "from": f"{given['dataset']}@{given['version']}", "work": "preprocessing"}
        message = wish.description or f"preprocessed from {given['dataset']}, version {given['version']}"
        for _ in range(_TRIES):
            dataset = find_target(self._datasets, task)
            with suppress(DatasetChanged):
                made = self._datasets.add_version(
                    dataset, items, task.owner or ANYBODY, message, expected_latest=dataset.latest, origin=origin
                )
                return dataset, made
        raise ValueError(f"{dataset.name} gets new versions faster than this one could be made.")


def find_target(datasets: DatasetService, task: TrainingTask) -> Dataset:
    """The dataset that gets the result of a task; made now if it was to be. Raises DatasetNotFound where it was deleted
    meanwhile, and ValueError where somebody else has one of that name now.
    """
    name, serial = task.request.config["target"]["name"], task.request.config["target"]["serial"]
    if serial is None:
        with suppress(DatasetExists):
            return datasets.make(name, task.owner, {})
    found = datasets.find(name)
    if serial not in (None, found.serial) or (serial is None and found.owner != task.owner):
        raise ValueError(f"Another dataset is called {name} now.")
    return found


def _show(
    dataset: Dataset,
    version: DatasetVersion,
    items: Sequence[ManifestItem],
    tally: Tally,
    wish: PreprocessWish,
    sources: Sequence[ManifestItem],
    outputs: Sequence[Output],
) -> PreprocessResult:
    name = f"{dataset.name}@{version.ordinal}"
    only = _made_of(sources[0], items, outputs) if len(sources) == 1 else None
    toml = write_dataset_toml({"dataset": name}, wish.resolutions, wish.frame_buckets, wish.num_repeats)
    return PreprocessResult(
        dataset=dataset.name,
        version=version.ordinal,
        reference=name,
        manifest=f"sha256:{version.manifest_sha256}",
        items=len(items),
        made=tally.made,
        reused=tally.reused,
        unchanged=tally.unchanged,
        dropped=tally.dropped,
        problem_count=tally.problem_count,
        problems=tuple(tally.problems),
        dataset_toml=toml,
        video_path=None if only is None else only.path,
        prompt=None if only is None else only.caption,
        metadata=None if only is None else _metadata(outputs, sources[0]),
    )


def _made_of(source: ManifestItem, items: Sequence[ManifestItem], outputs: Sequence[Output]) -> ManifestItem | None:
    """The item that was made of a single one; None when there is none."""
    blob = outputs[0].blob if outputs else None
    sha256 = source.sha256 if blob is None else blob.sha256
    return next((item for item in items if item.sha256 == sha256), None)


def _metadata(outputs: Sequence[Output], source: ManifestItem) -> PreprocessMetadata:
    facts = outputs[0].facts if outputs else {}
    width, height = facts.get("width"), facts.get("height")
    return PreprocessMetadata(
        fps=facts.get("fps"),
        resolution=None if width is None or height is None else f"{width}x{height}",
        duration=facts.get("duration"),
        frame_count=facts.get("frame_count"),
        original_video=source.path,
    )
