"""Builds the parts of models, uploads and work on datasets."""

from dataclasses import dataclass

from api.access.readable_paths import ReadablePaths
from api.composition.dataset_media import DatasetMediaParts
from api.composition.datasets import DatasetParts
from api.composition.models import RegistryParts, build_catalog, build_downloads, build_pushes, build_settings
from api.composition.preprocessing import PreprocessingParts
from api.composition.training import TrainingParts
from api.composition.uploads import UploadParts
from api.config import Config
from api.datasets.follow_up import UploadFollowUp
from api.datasets.service import NoQuota
from api.db.database import Database
from api.training.quotas import Quotas
from api.util.clock import Clock


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
        self.registry = RegistryParts(config, database, training.service, clock, decoder, bound)
        self.uploads = UploadParts(config, database, datasets, decoder, clock, quotas, self.registry)
        self.works = preprocessing.service(training, self.uploads.forms.get)
        self.captioning = preprocessing.captioning(training, self.works)
        self.catalog = build_catalog(config, self.uploads.service.find_file, database, parts.paths)
        self.settings = build_settings()
        self.downloads = build_downloads(config, database, training, clock, trainers_group, quotas)
        self.pushes = build_pushes(config, database, training, self.registry, clock)
        self.uploads.intake.set_follow_up(UploadFollowUp(self.works.start).go_on)

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
