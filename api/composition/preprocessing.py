"""Build the parts of preprocessing and captioning tasks."""

from collections.abc import Callable

from api.composition.datasets import DatasetParts
from api.composition.training import TrainingParts, build_task_resources
from api.config import Config
from api.datasets.captions.generation import CaptionEndpoint, CaptioningService
from api.datasets.captions.results import CaptionResultRecorder
from api.datasets.preparation.results import PreprocessResultRecorder
from api.datasets.preparation.service import PreprocessingService
from api.datasets.preparation.views import PreprocessView
from api.datasets.preparation.work_files import SourceFiles
from api.datasets.records.derivations import DerivationStore
from api.db.database import Database
from api.domain.tasks.task import TaskType
from api.trainers.diffusion_pipe.models.registry import MODELS
from api.training.queue.quotas import Quotas
from api.training.task_resources import TaskResources
from api.util.clock import Clock


class PreprocessingParts:
    """Services of preprocessing and captioning, and the collectors of results. The constructor starts nothing."""

    def __init__(
        self, config: Config, database: Database, datasets: DatasetParts, clock: Clock, quotas: Quotas | None
    ) -> None:
        """Without `quotas` tasks have no owner."""
        self._quotas = quotas
        self._config = config
        self._database = database
        self._datasets = datasets
        self._clock = clock
        root = config.storage_root.absolute()
        derivations = self._derivations = DerivationStore(database)
        self._files = SourceFiles(datasets.blobs, datasets.registered)
        self.preprocess_results = PreprocessResultRecorder(
            datasets.service, datasets.store, datasets.blobs, derivations, self._files, clock, root
        )
        self.caption_results = CaptionResultRecorder(datasets.service, derivations, clock, root)

    def resources(self, training: TrainingParts) -> TaskResources:
        """Return the resources with which preprocessing tasks are created, shown and stopped."""
        kind = TaskType.PREPROCESSING
        return build_task_resources(self._config, self._database, training, self._clock, kind, self._quotas)

    def service(self, training: TrainingParts, find_upload: Callable[[str], PreprocessView]) -> PreprocessingService:
        """Build the service of `/preprocess`; `find_upload` returns the tasks of uploads."""
        datasets, rates = self._datasets, {name: facts.framerate for name, facts in MODELS.items()}
        known = {**rates, "toy": None}
        resources = self.resources(training)
        return PreprocessingService(
            resources, datasets.service, datasets.store, self.preprocess_results, self._files, known, find_upload
        )

    def captioning(self, training: TrainingParts, preprocessing: PreprocessingService) -> CaptioningService:
        """Build the service of generated captions."""
        resources, endpoint = self.resources(training), caption_endpoint(self._config)
        return CaptioningService(resources, self._datasets.service, preprocessing, self._derivations, endpoint)


def caption_endpoint(config: Config) -> CaptionEndpoint | None:
    """Return the settings for generating captions, or None if there are none."""
    if not config.caption_endpoint and not config.caption_command:
        return None
    return CaptionEndpoint(
        config.caption_endpoint,
        config.caption_model,
        config.caption_key_file,
        config.caption_key,
        config.caption_per_minute,
        config.caption_price,
        config.caption_command,
        config.caption_command_seconds,
    )
