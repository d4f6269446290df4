"""Check a version before training: its files, and how a trainer will use them."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from api.datasets.checks.duplicates import NEAR_DISTANCE, find_duplicates
from api.datasets.checks.findings import find_in_buckets, find_in_files
from api.datasets.checks.trainer_rules import RuleBook
from api.datasets.checks.views import BucketView, DatasetCheck, DatasetFindingView, DuplicatesView, ItemsView
from api.datasets.items.media import DatasetMedia
from api.datasets.materials import flat_names
from api.datasets.service import DatasetService
from api.domain.datasets.dataset import Dataset, DatasetItem, DatasetVersion, ManifestItem, included_items
from api.domain.datasets.media import Decoder, MediaProbe
from api.domain.finding import codes_of
from api.errors import CheckBusy, Finding
from api.trainers.trainer import DatasetFile, DatasetPreview, DatasetSetup, SizeBucket
from api.util.copying import copy_fields
from api.util.http.validation import capped

#: Seconds for which one request examines files that are not known yet.
EXAMINE_SECONDS = 20.0

#: Checks in parallel, because each loads all items of a version; and seconds that further checks wait.
MAX_CHECKS = 2
WAIT_SECONDS = 2.0

#: Most item ids in each finding and count (the limit of one edit of items); and in each bucket.
MAX_IDS = 10_000
MAX_BUCKET_IDS = 100


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """A check of a version and how it would be trained on; without a model type only the files are checked."""

    version: str | None = None
    model_type: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    gpu_count: int = 1
    near_distance: int = NEAR_DISTANCE

    @property
    def question(self) -> DatasetSetup | None:
        """The question for a trainer; None without a model type."""
        if self.model_type is None:
            return None
        return DatasetSetup(self.model_type, self.settings, self.config, self.gpu_count)


class DatasetChecker:
    """Use cases of `/datasets/{name}/check`. Stores facts about files and changes nothing else."""

    def __init__(self, datasets: DatasetService, media: DatasetMedia, decoder: Decoder, rules: RuleBook) -> None:
        self._datasets = datasets
        self._media = media
        self._decoder = decoder
        self._rules = rules
        self._checking = threading.BoundedSemaphore(MAX_CHECKS)

    def check(self, name: str, request: CheckRequest) -> DatasetCheck:
        """Return all results that are known now.

        Raises DatasetNotFound, VersionNotFound, BlobMissing, DecoderBusy, CheckBusy, Invalid.
        """
        if not self._checking.acquire(timeout=WAIT_SECONDS):
            raise CheckBusy(headers={"Retry-After": "2"})
        try:
            return self._check(name, request)
        finally:
            self._checking.release()

    def _check(self, name: str, request: CheckRequest) -> DatasetCheck:
        dataset = self._datasets.find(name)
        version = self._datasets.find_version(dataset, request.version)
        question = request.question
        rules = None if question is None else self._rules.of_question(question)
        items = included_items(self._datasets.read_items(version.manifest_sha256))
        probes = self._media.examine_all(self._media.find_sources(dataset, items), EXAMINE_SECONDS)
        names = flat_names(items)
        files = [seen_file(item, names[item.path], probes) for item in items]
        outlook = DatasetPreview()
        if rules is not None and question is not None:
            outlook = rules.check_dataset(question, files)
        duplicates = find_duplicates(items, probes, self._decoder, request.near_distance)
        return _to_result(_Found(dataset, version, items, names, probes, outlook, duplicates, request))


def seen_file(item: ManifestItem, name: str, probes: Mapping[str, MediaProbe]) -> DatasetFile:
    """Return the item as the trainer will find it, under this file name."""
    return DatasetFile(
        name=name,
        media=probes.get(item.sha256),
        caption=item.caption,
        has_mask=item.mask_sha256 is not None,
        mask=None if item.mask_sha256 is None else probes.get(item.mask_sha256),
        has_control=item.control_sha256 is not None,
        control=None if item.control_sha256 is None else probes.get(item.control_sha256),
    )


@dataclass(frozen=True, slots=True)
class _Found:
    dataset: Dataset
    version: DatasetVersion
    items: Sequence[ManifestItem]
    names: Mapping[str, str]  #: file names for the trainer, by path
    probes: Mapping[str, MediaProbe]
    outlook: DatasetPreview
    duplicates: DuplicatesView
    request: CheckRequest


def _to_result(found: _Found) -> DatasetCheck:
    outlook, has_model = found.outlook, found.request.model_type is not None
    by_name = {found.names[item.path]: item for item in found.items}
    ids = {name: item.item_id for name, item in by_name.items()}
    own = find_in_files(found.items, found.probes, found.duplicates, by_itself=not has_model)
    errors = [*_by_id(outlook.errors, ids), *own.errors]
    odd = find_in_buckets(by_name, found.probes, outlook.buckets)
    warnings = [*_by_id(outlook.warnings, ids), *own.warnings, *odd]
    unexamined = sum(1 for item in found.items if item.sha256 not in found.probes)
    return DatasetCheck(
        dataset=found.dataset.name,
        version=found.version.ordinal,
        manifest_sha256=found.version.manifest_sha256,
        model_type=found.request.model_type,
        valid=not errors and not unexamined,
        items=len(found.items),
        excluded=found.version.excluded,
        unexamined=unexamined,
        errors=tuple(map(_view, capped(errors))),
        warnings=tuple(map(_view, capped(warnings))),
        notes=tuple(note.text for note in outlook.notes),
        note_codes=tuple(note.said for note in outlook.notes),
        problems=tuple(_problems(found)),
        duplicates=found.duplicates,
        buckets=tuple(_bucket(bucket, ids) for bucket in outlook.buckets),
        skipped=tuple(
            ItemsView(reason, len(names), tuple(ids[name] for name in names[:MAX_IDS]))
            for reason, names in outlook.skipped.items()
        ),
        trained_items=outlook.items,
        steps_per_epoch=outlook.steps_per_epoch,
    )


def _bucket(bucket: SizeBucket, ids: Mapping[str, str]) -> BucketView:
    shown = tuple(ids[name] for name in bucket.names[:MAX_BUCKET_IDS])
    return copy_fields(BucketView, bucket, items=len(bucket.names), item_ids=shown)


def _problems(found: _Found) -> Iterable[ItemsView]:
    by_problem: dict[str, list[str]] = {}
    for item in found.items:
        probe = found.probes.get(item.sha256)
        for problem in DatasetItem(item, None if probe is None else probe.facts).problems:
            by_problem.setdefault(problem, []).append(item.item_id)
    for problem, item_ids in sorted(by_problem.items()):
        yield ItemsView(problem, len(item_ids), tuple(item_ids[:MAX_IDS]))


def _by_id(mistakes: Iterable[Finding], ids: Mapping[str, str]) -> Iterable[Finding]:
    """Replace the trainer's file names by item ids."""
    for mistake in mistakes:
        yield replace(mistake, about=tuple(ids[name] for name in mistake.about if name in ids))


def _view(mistake: Finding) -> DatasetFindingView:
    about = tuple(dict.fromkeys(mistake.about))
    return DatasetFindingView(
        mistake.pointer, mistake.message, mistake.remedy, len(about), about[:MAX_IDS], *codes_of(mistake)
    )
