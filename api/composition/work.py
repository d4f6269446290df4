"""Builds the programs of dataset and model tasks, and the collector of their results."""

import os
from collections.abc import Callable

from api.composition.datasets import DatasetParts
from api.composition.preprocessing import PreprocessingParts
from api.composition.slots import slot_limits
from api.composition.training import TaskKinds
from api.config import Config
from api.datasets.result_recorder import RecordsResult, ResultRecorder
from api.domain.task import TaskType
from api.jobs.kinds import (
    CAPTIONING,
    CAPTIONING_JOB,
    DOWNLOAD_JOB,
    PREPROCESSING,
    PREPROCESSING_JOB,
    PUSH_JOB,
)
from api.jobs.trainer import JobTrainer
from api.trainers.trainer import Trainer
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
        others = (JobTrainer(kind) for kind in (CAPTIONING_JOB, DOWNLOAD_JOB, PUSH_JOB))
        self.kinds = TaskKinds(
            trainers=(media, *others),
            recorders={TaskType.PREPROCESSING: self.recorder, TaskType.CACHE: self.recorder},
        )
