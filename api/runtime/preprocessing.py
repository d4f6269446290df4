"""The parts that tasks on datasets need, put together; a part of the composition root."""

import os
from collections.abc import Callable, Sequence

from api.config import Config
from api.models.preprocess_view import PreprocessView
from api.models.task import TaskType
from api.runtime.datasets import DatasetParts
from api.runtime.training import TaskKinds, TrainingParts
from api.services.datasets.caption_harvest import CaptionHarvest
from api.services.datasets.captioning import CAPTIONING, CaptionEndpoint, CaptioningService
from api.services.datasets.harvesting import TakesUp, WorkHarvester
from api.services.datasets.preprocess_harvest import PreprocessHarvest
from api.services.datasets.preprocessing import PREPROCESSING, PreprocessingService, TaskMeans
from api.services.datasets.work_files import SourceFiles
from api.services.training.quotas import Quotas
from api.storage.attempts import AttemptStore
from api.storage.database import Database
from api.storage.derivations import DerivationStore
from api.storage.tasks import TaskStore
from api.trainers.diffusion_pipe.model_types import MODELS
from api.trainers.preprocessing.trainer import WorkTrainer
from api.trainers.trainer import Trainer
from api.utils.clock import Clock


class PreprocessingParts:
    """What executes tasks on datasets and takes up their results. Building it starts nothing."""

    def __init__(
        self,
        config: Config,
        database: Database,
        datasets: DatasetParts,
        clock: Clock,
        wake: Callable[[], None],
        quotas: Quotas | None,
        cached_by: Sequence[str] = (),
    ) -> None:
        """`wake` has the training loop look at once; without `quotas` tasks belong to nobody. `cached_by`: the trainers
        that cache ahead, by name.
        """
        self._quotas = quotas
        self._config = config
        self._database = database
        self._datasets = datasets
        self._clock = clock
        root = config.storage_root.absolute()
        derivations = self._derivations = DerivationStore(database)
        self._files = SourceFiles(datasets.blobs, datasets.registered)
        self._harvest = PreprocessHarvest(
            datasets.service, datasets.store, datasets.blobs, derivations, self._files, clock, root
        )
        captions = CaptionHarvest(datasets.service, derivations, clock, root)
        by_trainer: dict[str, TakesUp] = {PREPROCESSING: self._harvest, CAPTIONING: captions}
        caching = dict.fromkeys(cached_by, datasets.cache_harvest)
        self.harvester = WorkHarvester({**by_trainer, **caching}, clock, wake)
        threads = max(1, (os.cpu_count() or 1) // places(config))
        media: Trainer = WorkTrainer(PREPROCESSING, "api.trainers.preprocessing.program", threads)
        captioning: Trainer = WorkTrainer(CAPTIONING, "api.trainers.preprocessing.caption_program")
        self.kinds = TaskKinds(
            trainers=(media, captioning),
            harvesters={TaskType.PREPROCESSING: self.harvester, TaskType.CACHE: self.harvester},
        )

    def means(self, training: TrainingParts) -> TaskMeans:
        """By what such tasks are made, shown and stopped."""
        return TaskMeans(
            TaskStore(self._database, TaskType.PREPROCESSING),
            AttemptStore(self._database, TaskType.PREPROCESSING),
            training.intake,
            training.dispatcher,
            training.progress,
            training.stops,
            training.loop.wake,
            self._clock,
            self._config.storage_root.absolute(),
            self._config.min_free_disk_mb,
            self._quotas,
        )

    def service(self, training: TrainingParts, find_upload: Callable[[str], PreprocessView]) -> PreprocessingService:
        """The use cases of `/preprocess`; `find_upload` knows the tasks of uploads."""
        datasets, rates = self._datasets, {name: facts.framerate for name, facts in MODELS.items()}
        known = {**rates, "toy": None}
        means = self.means(training)
        return PreprocessingService(
            means, datasets.service, datasets.store, self._harvest, self._files, known, find_upload
        )

    def captioning(self, training: TrainingParts, preprocessing: PreprocessingService) -> CaptioningService:
        """The use cases of captions by a model."""
        means, endpoint = self.means(training), _endpoint(self._config)
        return CaptioningService(means, self._datasets.service, preprocessing, self._derivations, endpoint)


def _endpoint(config: Config) -> CaptionEndpoint | None:
    if not config.caption_endpoint and not config.caption_command:
        return None
    return CaptionEndpoint(
        config.caption_endpoint,
        config.caption_model,
        config.caption_key_file,
        config.caption_per_minute,
        config.caption_price,
        config.caption_command,
        config.caption_command_seconds,
    )


def places(config: Config) -> int:
    """How many tasks without GPUs run at a time."""
    return config.preprocess_parallel or max(1, (os.cpu_count() or 1) // 2)
