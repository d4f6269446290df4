"""Models and uploads, and the work on datasets, put together; a part of the composition root."""

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
from api.training.quotas import Quotas
from api.util.clock import Clock


class Library:
    """Every part that starts tasks or uses those of trainings. Building it starts nothing."""

    def __init__(
        self,
        config: Config,
        database: Database,
        training: TrainingParts,
        datasets: DatasetParts,
        media: DatasetMediaParts,
        preprocessing: PreprocessingParts,
        clock: Clock,
        quotas: Quotas | None,
        trainers_group: int | None,
        paths: ReadablePaths,
    ) -> None:
        """Build every part once.

        Without `quotas` no user has one. `trainers_group` is the group of the trainers' user, if that is another user.
        `paths` decides which files a caller may name.
        """
        self._datasets, self._media = datasets, media
        decoder, bound = media.decoder, (quotas or NoBound()).require_storage
        self.registry = RegistryParts(config, database, training.service, clock, decoder, bound)
        self.uploads = UploadParts(config, database, datasets, decoder, clock, quotas, self.registry)
        self.works = preprocessing.service(training, self.uploads.forms.get)
        self.captioning = preprocessing.captioning(training, self.works)
        self.catalog = build_catalog(config, self.uploads.service.find_file, database, paths)
        self.settings = build_settings()
        self.downloads = build_downloads(config, database, training, clock, trainers_group, quotas)
        self.pushes = build_pushes(config, database, training, self.registry, clock)
        self.uploads.intake.follow_with(UploadFollowUp(self.works.start).go_on)

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
