"""Make a new version from the output of the preprocessing program."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from api.datasets.preparation.output_items import NewItems, Output, Tally, outputs_of
from api.datasets.preparation.request import PreprocessRequest
from api.datasets.preparation.views import PreprocessMetadata, PreprocessResult
from api.datasets.preparation.work_files import SourceFiles
from api.datasets.records.dataset_store import DatasetStore
from api.datasets.records.derivations import DerivationStore
from api.datasets.service import DatasetService
from api.datasets.versions.dataset_toml import write_dataset_toml
from api.domain.access.principal import API_ACTOR
from api.domain.datasets.dataset import Blob, Dataset, DatasetVersion, ManifestItem, included_items
from api.domain.tasks.training import TrainingTask
from api.errors import DatasetChanged, DatasetExists
from api.files.blobs import BlobStore
from api.files.task_files import task_files, write_private
from api.jobs.preprocessing.work import key_of, read_record
from api.training.attempts.task_results import TaskResult
from api.util.clock import Clock
from api.util.files.foreign_files import MAX_BYTES, open_plain, read
from api.util.files.foreign_trees import remove_tree

_CHUNK = 2**20

#: Attempts to add the version when other writers change the dataset.
_TRIES = 8

#: Most bytes of a record: that of a video that was cut into the largest number of pieces.
_RECORD_BYTES = 4 * MAX_BYTES


class PreprocessResultRecorder:
    """Reads the output, stores it, and creates the version. Used by one thread."""

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

    def record(self, task: TrainingTask, output_dir: Path) -> TaskResult:
        """Return the result. Raises ServiceError, OSError; ValueError if no item can be read."""
        record_path = task_files(self._storage_root, task.task_id).root / "harvest.json"
        try:
            return TaskResult(orjson.loads(read(str(record_path), levels=1)))
        except FileNotFoundError:
            pass
        request = PreprocessRequest.from_config(task.request.config["wish"])
        given = task.request.config["input"]
        items = list(self._datasets.read_items(given["manifest"]))
        if task.request.config["target"]["serial"] != task.plan.datasets[0].serial:
            items = included_items(items)  # excluded items are not copied into another dataset
        source = self._source(task)
        tally, new, outputs = self._collect(items, request, output_dir / "made")
        chosen = [item for item in included_items(items) if request.chooses(item.path)]
        if chosen and tally.problem_count == len(chosen):
            first = tally.problems[0]
            raise ValueError(f"None of the {len(chosen):,} items can be read. {first.path}: {first.problem}.")
        for item in new.items:
            self._files.store(source, item)
        made = new.items if request.captions is None else request.captions.apply(new.items)
        dataset, version = self._add_version(task, request, given, made)
        result = _to_result(dataset, version, made, tally, request, chosen, outputs)
        content = orjson.dumps(asdict(result))
        write_private(record_path, content, levels=1)
        for name in ("made", "sources"):
            remove_tree(str(output_dir / name), levels=3)
        return TaskResult(orjson.loads(content))

    def _source(self, task: TrainingTask) -> Dataset:
        source = self._store.get_by_serial(task.plan.datasets[0].serial)
        if source is None:
            raise ValueError(f"{task.plan.datasets[0].dataset} was deleted.")
        return source

    # -- outputs -------------------------------------------------------------------------------------------------------

    def _collect(
        self, items: Sequence[ManifestItem], request: PreprocessRequest, made: Path
    ) -> tuple[Tally, NewItems, list[Output]]:
        tally, new, fresh, shown = Tally(), NewItems(), dict[str, Any](), list[Output]()
        keys = [key_of((item.sha256, item.mask_sha256, item.control_sha256), request.media) for item in items]
        known = {} if request.media.is_empty else self.known(keys)
        for item, key in zip(items, keys, strict=True):
            if request.media.is_empty or item.excluded or not request.chooses(item.path):
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
            shown = outputs if len(request.paths or items) == 1 else shown
        self._derivations.keep(fresh, self._clock.steady.now())
        return tally, new, shown

    def known(self, keys: Sequence[str]) -> dict[str, list[Output]]:
        """Return earlier outputs that are still stored, by key.

        Also protects their blobs from garbage collection for a while.
        """
        found = self._derivations.find(keys, self._clock.steady.now())
        known = {key: [Output.from_json(each) for each in outputs] for key, outputs in found.items()}
        hashes = {sha256 for outputs in known.values() for output in outputs for sha256 in output.hashes}
        missing = set(self._blobs.keep(hashes))
        lost = [key for key, outputs in known.items() if any(missing.intersection(output.hashes) for output in outputs)]
        self._derivations.forget(lost)
        return {key: outputs for key, outputs in known.items() if key not in lost}

    def _read(self, made: Path, key: str, tally: Tally) -> tuple[list[Output], str | None]:
        try:
            record = read_record(read(str(made / f"{key}.json"), _RECORD_BYTES))
        except FileNotFoundError:
            # It was known when the task started, and was collected since because the versions with it were deleted.
            return [Output("", None, None, None, None)], "its earlier result was deleted: start the task again"
        tally.dropped += record.dropped
        return outputs_of(record, lambda name: self._store_file(made / name)), record.problem

    def _store_file(self, path: Path) -> Blob:
        """Copy a file into the store; the program may still have it open."""
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
        self, task: TrainingTask, request: PreprocessRequest, given: Mapping[str, Any], items: Sequence[ManifestItem]
    ) -> tuple[Dataset, DatasetVersion]:
        origin = {"task": task.task_id, "from": f"{given['dataset']}@{given['version']}", "work": "preprocessing"}
        message = request.description or f"preprocessed from {given['dataset']}, version {given['version']}"
        for _ in range(_TRIES):
            dataset = find_target(self._datasets, task)
            with suppress(DatasetChanged):
                made = self._datasets.add_version(
                    dataset, items, task.owner or API_ACTOR, message, expected_latest=dataset.latest, origin=origin
                )
                return dataset, made
        raise ValueError(f"Other edits of {dataset.name} kept preventing the new version. Start the task again.")


def find_target(datasets: DatasetService, task: TrainingTask) -> Dataset:
    """Return the dataset that gets the result of a task; create it if needed.

    Raises DatasetNotFound if it was deleted meanwhile; ValueError if the name now belongs to another dataset.
    """
    name, serial = task.request.config["target"]["name"], task.request.config["target"]["serial"]
    if serial is None:
        with suppress(DatasetExists):
            return datasets.make(name, task.owner, {})
    found = datasets.find(name)
    if serial not in (None, found.serial) or (serial is None and found.owner != task.owner):
        raise ValueError(f"The name {name} now belongs to another dataset.")
    return found


def _to_result(
    dataset: Dataset,
    version: DatasetVersion,
    items: Sequence[ManifestItem],
    tally: Tally,
    request: PreprocessRequest,
    sources: Sequence[ManifestItem],
    outputs: Sequence[Output],
) -> PreprocessResult:
    name = f"{dataset.name}@{version.ordinal}"
    only = _made_of(sources[0], items, outputs) if len(sources) == 1 else None
    toml = write_dataset_toml({"dataset": name}, request.resolutions, request.frame_buckets, request.num_repeats)
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
    """Return the item that was made from a single source; None if there is none."""
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
