"""Datasets, models and uploads with all that works on them, put together; a part of the composition root.

They are loaded by whoever needs them first, and by a watch that finds that there is something for their loops to do.
"""

from api.access.readable_paths import ReadablePaths
from api.composition.dataset_media import DatasetMediaParts
from api.composition.datasets import DatasetParts
from api.composition.models import RegistryParts, build_catalog, build_downloads, build_pushes, build_settings
from api.composition.preprocessing import PreprocessingParts
from api.composition.training import TrainingParts
from api.composition.uploads import UploadParts
from api.config import Config
from api.datasets.follow_up import UploadFollowUp
from api.datasets.service import NoBound
from api.db.database import Database
from api.trainers.trainer import Trainer
from api.training.quotas import Quotas
from api.util.clock import Clock


class Library:
    """Every part, built once. Building it starts nothing."""

    def __init__(
        self,
        config: Config,
        database: Database,
        training: TrainingParts,
        clock: Clock,
        quotas: Quotas | None,
        trainers_group: int | None,
        trainers: tuple[Trainer, ...],
        paths: ReadablePaths,
    ) -> None:
        """`quotas` None: nobody has one. `trainers_group`: of the user that trainers run as, if it is another.
        `trainers`: those that train. `paths`: which files a caller may name.
        """
        self.datasets = datasets = DatasetParts(config, database, clock, quotas, trainers_group, trainers, paths)
        self.media = DatasetMediaParts(database, clock, datasets, training.trainers.values(), paths)
        decoder, bound = self.media.decoder, (quotas or NoBound()).require_storage
        self.registry = RegistryParts(config, database, training.service, clock, decoder, bound)
        self.uploads = UploadParts(config, database, datasets, decoder, clock, quotas, self.registry)
        self.preprocessing = PreprocessingParts(config, database, datasets, clock, quotas)
        self.works = self.preprocessing.service(training, self.uploads.forms.get)
        self.captioning = self.preprocessing.captioning(training, self.works)
        self.catalog = build_catalog(config, self.uploads.service.find_file, database, paths)
        self.settings = build_settings()
        self.downloads = build_downloads(config, database, training, clock, trainers_group, quotas)
        self.pushes = build_pushes(config, database, training, self.registry, clock)
        self.uploads.intake.follow_with(UploadFollowUp(self.works.start).go_on)

    def start(self) -> None:
        """Starts every loop."""
        self.datasets.start()
        self.uploads.intake.start()
        self.registry.start()

    def stop(self) -> None:
        """Stops every loop, in reverse order, and ends the processes that decode."""
        self.registry.stop()
        self.uploads.intake.stop()
        self.datasets.stop()
        self.media.stop()
