"""What executes tasks on datasets and models, put together; a part of the composition root."""

import os
from collections.abc import Callable

from api.composition.datasets import DatasetParts
from api.composition.places import place_rules
from api.composition.preprocessing import PreprocessingParts
from api.composition.training import TaskKinds
from api.config import Config
from api.datasets.harvesting import TakesUp, WorkHarvester
from api.domain.task import TaskType
from api.jobs.downloads.trainer import Downloader
from api.jobs.preprocessing.trainer import WorkTrainer
from api.jobs.preprocessing.words import CAPTIONING, PREPROCESSING
from api.jobs.pushes.trainer import Pusher
from api.trainers.trainer import Trainer
from api.util.clock import Clock


class WorkParts:
    """The programs by name, and the loop that has taken up what they made. Building it starts nothing."""

    def __init__(
        self,
        config: Config,
        datasets: DatasetParts,
        preprocessing: PreprocessingParts,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        """`wake` has the training loop look at once."""
        by_trainer: dict[str, TakesUp] = {
            PREPROCESSING: preprocessing.harvest,
            CAPTIONING: preprocessing.caption_harvest,
            **{trainer.name: datasets.cache_harvest for trainer in datasets.trainers},
        }
        self.harvester = WorkHarvester(by_trainer, clock, wake)
        threads = max(1, (os.cpu_count() or 1) // place_rules(config).parallel)
        media: Trainer = WorkTrainer(PREPROCESSING, "api.jobs.preprocessing.program", threads)
        captioning: Trainer = WorkTrainer(CAPTIONING, "api.jobs.preprocessing.caption_program")
        self.kinds = TaskKinds(
            trainers=(media, captioning, Downloader(), Pusher()),
            harvesters={TaskType.PREPROCESSING: self.harvester, TaskType.CACHE: self.harvester},
        )
