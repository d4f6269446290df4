"""Build the parts of models, uploads and work on datasets."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from api.access.readable_paths import ReadablePaths
from api.catalog.base_models.examination import WeightsExaminer
from api.catalog.base_models.service import CatalogService
from api.catalog.base_models.settings import SettingsService
from api.catalog.registry.service import Registry
from api.catalog.registry.uploads import ModelUploads
from api.catalog.transfers.downloads import DownloadService
from api.catalog.transfers.pushes import PushService
from api.composition.datasets import DatasetParts
from api.composition.execution import TaskKinds, slot_limits
from api.composition.models import (
    RegistryParts,
    build_catalog,
    build_downloads,
    build_examiner,
    build_pushes,
)
from api.composition.preprocessing import PreprocessingParts
from api.composition.training import TrainingParts
from api.config import Config
from api.datasets.caches.listing import DatasetCacheList
from api.datasets.caption_edits import CaptionEditor
from api.datasets.captions.generation import CaptioningService
from api.datasets.checks.as_trained import AsTrained
from api.datasets.checks.service import DatasetChecker
from api.datasets.checks.trainer_rules import RuleBook
from api.datasets.item_edits import ItemEditor
from api.datasets.items.items import DatasetItems, ItemFiles
from api.datasets.items.joining import Joining
from api.datasets.items.media import DatasetMedia
from api.datasets.items.path_media import PathMedia
from api.datasets.items.thumbnails import Thumbnails
from api.datasets.preparation.follow_up import UploadFollowUp
from api.datasets.preparation.result_recorder import RecordsResult, ResultRecorder
from api.datasets.preparation.service import PreprocessingService
from api.datasets.records.media_facts import MediaFactsStore
from api.datasets.records.upload_store import UploadStore
from api.datasets.registered.directories import RegisteredDirectories
from api.datasets.service import DatasetService, NoQuota, StorageQuota
from api.datasets.uploads.form_uploads import FormUploads
from api.datasets.uploads.intake import UploadProcessor
from api.datasets.uploads.service import UploadLimits, UploadService
from api.datasets.versions.export import DatasetExport
from api.datasets.versions.splitting import DatasetSplitter
from api.db.database import Database
from api.domain.datasets.media import Decoder
from api.domain.datasets.upload import UploadKind
from api.domain.tasks.task import TaskType
from api.files.archives.expander import Expander
from api.files.archives.limits import ArchiveLimits
from api.files.media.decoder import MediaDecoder
from api.files.upload_files import UploadFiles
from api.jobs.kinds import (
    CAPTIONING,
    CAPTIONING_JOB,
    DOWNLOAD_JOB,
    EXPORT_JOB,
    PREPROCESSING,
    PREPROCESSING_JOB,
    PUSH_JOB,
    SAMPLING_JOB,
)
from api.jobs.trainer import JobTrainer
from api.presets.service import PresetService
from api.presets.store import PresetStore
from api.samples.library.service import Samples
from api.trainers.diffusion_pipe.base_models import CATALOG
from api.trainers.diffusion_pipe.checks.preset_check import check_preset
from api.trainers.diffusion_pipe.config.forms import convert_forms
from api.trainers.diffusion_pipe.key_descriptions import describe_settings
from api.trainers.diffusion_pipe.models.registry import MODELS
from api.trainers.trainer import DatasetRules, Trainer
from api.training.queue.quotas import Quotas
from api.util.clock import Clock


class WorkParts:
    """The programs by task kind, and the loop that collects their results. The constructor starts nothing."""

    def __init__(
        self,
        config: Config,
        datasets: DatasetParts,
        preprocessing: PreprocessingParts,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        """`wake` triggers the training loop."""
        by_trainer: dict[str, RecordsResult] = {
            PREPROCESSING: preprocessing.preprocess_results,
            CAPTIONING: preprocessing.caption_results,
            **{trainer.name: datasets.cache_results for trainer in datasets.trainers},
        }
        self.recorder = ResultRecorder(by_trainer, clock, wake)
        threads = max(1, (os.cpu_count() or 1) // slot_limits(config).parallel)
        media: Trainer = JobTrainer(PREPROCESSING_JOB, threads)
        others = (JobTrainer(kind) for kind in (CAPTIONING_JOB, DOWNLOAD_JOB, PUSH_JOB, EXPORT_JOB, SAMPLING_JOB))
        self.kinds = TaskKinds(
            trainers=(media, *others),
            recorders={TaskType.PREPROCESSING: self.recorder, TaskType.CACHE: self.recorder},
        )


class DatasetMediaParts:
    """Services for media. The constructor starts nothing: a decoder's process starts with the first file."""

    def __init__(
        self, database: Database, clock: Clock, parts: DatasetParts, trainers: Iterable[Trainer], paths: ReadablePaths
    ) -> None:
        self.decoder = MediaDecoder(min(os.cpu_count() or 1, _MOST_CHILDREN))
        rules = RuleBook([trainer for trainer in trainers if isinstance(trainer, DatasetRules)], paths)
        self.media = DatasetMedia(
            MediaFactsStore(database),
            parts.blobs,
            self.decoder,
            clock,
            parts.registered,
        )
        self.by_path = PathMedia(parts.views, parts.service, self.media, self.decoder)
        self.checker = DatasetChecker(parts.service, self.media, self.decoder, rules)
        self.thumbnails = Thumbnails(parts.items, self.media, self.decoder, parts.pictures)
        self.as_trained = AsTrained(parts.items, self.media, self.decoder, rules)
        self.export = DatasetExport(parts.service, self.media)
        self.item_files = ItemFiles(parts.items, self.media)

    def stop(self) -> None:
        """Stop the decoder's processes."""
        self.decoder.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryParts:
    """The parts on which the library is built."""

    training: TrainingParts
    datasets: DatasetParts
    media: DatasetMediaParts
    preprocessing: PreprocessingParts
    paths: ReadablePaths  #: decides which files a caller may name


@dataclass(frozen=True, slots=True)
class DatasetServices:
    """The services of datasets that routes call."""

    service: DatasetService
    registered: RegisteredDirectories
    items: DatasetItems
    item_edits: ItemEditor
    item_files: ItemFiles
    captions: CaptionEditor
    captioning: CaptioningService
    splits: DatasetSplitter
    caches: DatasetCacheList
    uploads: UploadService
    forms: FormUploads
    preprocessing: PreprocessingService
    checker: DatasetChecker
    thumbnails: Thumbnails
    as_trained: AsTrained
    export: DatasetExport


@dataclass(frozen=True, slots=True)
class CatalogServices:
    """The services of models that routes call."""

    service: CatalogService
    examiner: WeightsExaminer
    settings: SettingsService
    registry: Registry
    samples: Samples
    downloads: DownloadService
    pushes: PushService


class Library:
    """Every part that starts tasks other than trainings. The constructor starts nothing."""

    def __init__(
        self,
        config: Config,
        database: Database,
        parts: LibraryParts,
        clock: Clock,
        quotas: Quotas | None,
        trainers_group: int | None,
    ) -> None:
        """Without `quotas` no user has one.

        `trainers_group` is the group of the trainers' user, if that is another user.
        """
        training, datasets, media, preprocessing = parts.training, parts.datasets, parts.media, parts.preprocessing
        self._datasets, self._media = datasets, media
        decoder, bound = media.decoder, (quotas or NoQuota()).require_storage
        self.registry = RegistryParts(config, database, training, clock, decoder, bound)
        self.uploads = UploadParts(config, database, datasets, decoder, clock, quotas, self.registry)
        works = preprocessing.service(training, self.uploads.forms.get)
        self.uploads.intake.set_follow_up(UploadFollowUp(works.start).start)
        self.presets = PresetService(PresetStore(database), check_preset, clock)
        self.datasets = DatasetServices(
            service=datasets.service,
            registered=datasets.registered,
            items=datasets.items,
            item_edits=datasets.item_edits,
            item_files=media.item_files,
            captions=datasets.captions,
            captioning=preprocessing.captioning(training, works),
            splits=datasets.splits,
            caches=datasets.cache_list,
            uploads=self.uploads.service,
            forms=self.uploads.forms,
            preprocessing=works,
            checker=media.checker,
            thumbnails=media.thumbnails,
            as_trained=media.as_trained,
            export=media.export,
        )
        self.catalog = CatalogServices(
            service=build_catalog(config, database),
            examiner=build_examiner(config, self.uploads.service.find_file, parts.paths),
            settings=SettingsService(MODELS, describe_settings, convert_forms),
            registry=self.registry.service,
            samples=self.registry.samples,
            downloads=build_downloads(config, database, training, clock, trainers_group, quotas),
            pushes=build_pushes(config, database, training, self.registry, clock),
        )

    def start(self) -> None:
        """Start the loops of datasets, uploads and models."""
        self._datasets.start()
        self.uploads.intake.start()
        self.registry.start()

    def stop(self) -> None:
        """Stop the loops in reverse order, and end the processes that decode media."""
        self.registry.stop()
        self.uploads.intake.stop()
        self._datasets.stop()
        self._media.stop()


_MB = 1024 * 1024


class UploadParts:
    """Receives uploads and turns them into datasets. The constructor starts nothing."""

    def __init__(
        self,
        config: Config,
        database: Database,
        datasets: DatasetParts,
        decoder: Decoder,
        clock: Clock,
        bound: StorageQuota | None = None,
        registry: RegistryParts | None = None,
    ) -> None:
        """`bound` checks quotas; None: no quotas. `registry` None: models cannot be uploaded."""
        min_free = config.min_free_disk_mb * _MB
        files = UploadFiles(datasets.blobs.root / "uploads")
        store = UploadStore(database, datasets.blobs.identity)
        limits = UploadLimits(config.max_upload_bytes, min_free, timedelta(hours=config.upload_hours))
        self.service = UploadService(store, files, datasets.service, bound or NoQuota(), limits, clock)
        joining = Joining(datasets.service, datasets.blobs, decoder, MediaFactsStore(database), files, clock)
        expander = Expander(ArchiveLimits(total=config.max_upload_bytes, min_free=min_free))
        self.intake = UploadProcessor(self.service, store, files, joining, expander, clock)
        self.forms = FormUploads(self.service, store, self.intake.progress, clock)
        if registry is not None:
            models = ModelUploads(registry.service, registry.store, registry.blobs, files, CATALOG, clock)
            for kind, taker in ((UploadKind.MODEL, models), (UploadKind.SAMPLE, registry.samples)):
                self.service.accept_kind(kind, taker.check)
                self.intake.set_handler(kind, taker.take)


#: The most processes that decode media at a time; the other CPUs are left to trainings.
_MOST_CHILDREN = 8
