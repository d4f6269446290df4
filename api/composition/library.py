"""Build the parts of models, uploads and work on datasets."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

from api.access.readable_paths import ReadablePaths
from api.catalog.model_uploads import ModelUploads
from api.catalog.settings import SettingsService
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
from api.datasets.as_trained import AsTrained
from api.datasets.check import DatasetChecker
from api.datasets.export import DatasetExport
from api.datasets.follow_up import UploadFollowUp
from api.datasets.form_uploads import FormUploads
from api.datasets.intake import UploadProcessor
from api.datasets.items import ItemFiles
from api.datasets.joining import Joining
from api.datasets.media import DatasetMedia
from api.datasets.media_facts import MediaFactsStore
from api.datasets.path_media import PathMedia
from api.datasets.result_recorder import RecordsResult, ResultRecorder
from api.datasets.service import NoQuota, StorageQuota
from api.datasets.thumbnails import Thumbnails
from api.datasets.trainer_rules import RuleBook
from api.datasets.upload_store import UploadStore
from api.datasets.uploads import UploadLimits, UploadService
from api.db.database import Database
from api.domain.media import Decoder
from api.domain.task import TaskType
from api.domain.upload import UploadKind
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
from api.trainers.diffusion_pipe.catalog.table import CATALOG
from api.trainers.diffusion_pipe.forms import convert_forms
from api.trainers.diffusion_pipe.model_types import MODELS
from api.trainers.diffusion_pipe.preset_check import check_preset
from api.trainers.diffusion_pipe.settings import describe_settings
from api.trainers.trainer import DatasetRules, Trainer
from api.training.quotas import Quotas
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
        self.works = preprocessing.service(training, self.uploads.forms.get)
        self.captioning = preprocessing.captioning(training, self.works)
        self.catalog = build_catalog(config, database)
        self.examiner = build_examiner(config, self.uploads.service.find_file, parts.paths)
        self.settings = SettingsService(MODELS, describe_settings, convert_forms)
        self.presets = PresetService(PresetStore(database), check_preset, clock)
        self.downloads = build_downloads(config, database, training, clock, trainers_group, quotas)
        self.pushes = build_pushes(config, database, training, self.registry, clock)
        self.uploads.intake.set_follow_up(UploadFollowUp(self.works.start).start)

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
