"""Checks a version before it is trained on: its files by themselves, and what a trainer will make of them."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from api.datasets.check_models import BucketView, DatasetCheck, DatasetFindingView, DuplicatesView, ItemsView
from api.datasets.duplicates import find_duplicates
from api.datasets.findings import find_in_buckets, find_in_files
from api.datasets.materials import flat_names
from api.datasets.media import DatasetMedia
from api.datasets.rules import RuleBook
from api.datasets.service import DatasetService
from api.domain.dataset import Dataset, DatasetItem, DatasetVersion, ManifestItem, included_items
from api.domain.media import Decoder, MediaProbe
from api.errors import CheckBusy, Mistake
from api.trainers.trainer import DatasetOutlook, DatasetQuestion, SeenFile, SizeBucket
from api.util.bounds import capped

#: Seconds that one request looks into files of which nothing is known yet.
LOOK_SECONDS = 20.0

#: Checks at a time: each holds all items of its version. Others wait for so many seconds.
MAX_CHECKS = 2
WAIT_SECONDS = 2.0

#: Ids of items that stand beside each finding and count, as many as one edit of items takes; and beside a bucket.
MAX_IDS = 10_000
MAX_BUCKET_IDS = 100


@dataclass(frozen=True, slots=True)
class CheckWish:
    """What is asked about: a version, and how it would be trained on; without a model type its files alone."""

    version: str | None = None
    model_type: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    gpu_count: int = 1
    near_distance: int = 4

    @property
    def question(self) -> DatasetQuestion | None:
        """The same for a trainer; None without a model type."""
        if self.model_type is None:
            return None
        return DatasetQuestion(self.model_type, self.settings, self.config, self.gpu_count)


class DatasetChecker:
    """Answers `/datasets/{name}/check`; changes nothing but what is known of files."""

    def __init__(self, datasets: DatasetService, media: DatasetMedia, decoder: Decoder, rules: RuleBook) -> None:
        self._datasets = datasets
        self._media = media
        self._decoder = decoder
        self._rules = rules
        self._checking = threading.BoundedSemaphore(MAX_CHECKS)

    def check(self, name: str, wish: CheckWish) -> DatasetCheck:
        """Everything that can be said now.

        Raises DatasetNotFound, VersionNotFound, BlobMissing, DecoderBusy, CheckBusy, Invalid.
        """
        if not self._checking.acquire(timeout=WAIT_SECONDS):
            raise CheckBusy(headers={"Retry-After": "2"})
        try:
            return self._check(name, wish)
        finally:
            self._checking.release()

    def _check(self, name: str, wish: CheckWish) -> DatasetCheck:
        dataset = self._datasets.find(name)
        version = self._datasets.find_version(dataset, wish.version)
        question = wish.question
        rules = None if question is None else self._rules.of_question(question)
        items = included_items(self._datasets.read_items(version.manifest_sha256))
        probes = self._media.look(self._media.find_sources(dataset, items), LOOK_SECONDS)
        names = flat_names(items)
        files = [see(item, names[item.path], probes) for item in items]
        outlook = DatasetOutlook()
        if rules is not None and question is not None:
            outlook = rules.check_dataset(question, files)
        duplicates = find_duplicates(items, probes, self._decoder, wish.near_distance)
        return _tell(_Found(dataset, version, items, names, probes, outlook, duplicates, wish))


def see(item: ManifestItem, name: str, probes: Mapping[str, MediaProbe]) -> SeenFile:
    """An item as the trainer will find it, under this name."""
    return SeenFile(
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
    names: Mapping[str, str]  #: by path, those that the trainer sees
    probes: Mapping[str, MediaProbe]
    outlook: DatasetOutlook
    duplicates: DuplicatesView
    wish: CheckWish


def _tell(found: _Found) -> DatasetCheck:
    outlook, has_model = found.outlook, found.wish.model_type is not None
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
        model_type=found.wish.model_type,
        valid=not errors and not unexamined,
        items=len(found.items),
        excluded=found.version.excluded,
        unexamined=unexamined,
        errors=tuple(map(_view, capped(errors))),
        warnings=tuple(map(_view, capped(warnings))),
        notes=outlook.notes,
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
    return BucketView(
        bucket.width,
        bucket.height,
        bucket.frames,
        len(bucket.names),
        bucket.examples,
        bucket.batch_size,
        bucket.batches,
        bucket.dropped,
        bucket.reason,
        tuple(ids[name] for name in bucket.names[:MAX_BUCKET_IDS]),
    )


def _problems(found: _Found) -> Iterable[ItemsView]:
    by_problem: dict[str, list[str]] = {}
    for item in found.items:
        probe = found.probes.get(item.sha256)
        for problem in DatasetItem(item, None if probe is None else probe.facts).problems:
            by_problem.setdefault(problem, []).append(item.item_id)
    for problem, item_ids in sorted(by_problem.items()):
        yield ItemsView(problem, len(item_ids), tuple(item_ids[:MAX_IDS]))


def _by_id(mistakes: Iterable[Mistake], ids: Mapping[str, str]) -> Iterable[Mistake]:
    """Put ids of items in place of the names by which the trainer knows them."""
    for mistake in mistakes:
        yield replace(mistake, about=tuple(ids[name] for name in mistake.about if name in ids))


def _view(mistake: Mistake) -> DatasetFindingView:
    about = tuple(dict.fromkeys(mistake.about))
    return DatasetFindingView(mistake.pointer, mistake.message, mistake.remedy, len(about), about[:MAX_IDS])
