"""What executes tasks on datasets and models, put together; a part of the composition root."""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from api.composition.later import Later
from api.composition.places import place_rules
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

if TYPE_CHECKING:
    from api.composition.library import Library


class WorkParts:
    """The programs by name, and the loop that has taken up what they made. Building it starts nothing."""

    def __init__(
        self,
        config: Config,
        library: "Later[Library]",
        clock: Clock,
        wake: Callable[[], None],
        cached_by: Sequence[str] = (),
    ) -> None:
        """`wake` has the training loop look at once. `cached_by`: the trainers that cache ahead, by name."""
        by_trainer: dict[str, TakesUp] = {
            PREPROCESSING: library.part(lambda found: found.preprocessing.harvest),
            CAPTIONING: library.part(lambda found: found.preprocessing.caption_harvest),
            **dict.fromkeys(cached_by, library.part(lambda found: found.datasets.cache_harvest)),
        }
        self.harvester = WorkHarvester(by_trainer, clock, wake)
        threads = max(1, (os.cpu_count() or 1) // place_rules(config).parallel)
        media: Trainer = WorkTrainer(PREPROCESSING, "api.jobs.preprocessing.program", threads)
        captioning: Trainer = WorkTrainer(CAPTIONING, "api.jobs.preprocessing.caption_program")
        self.kinds = TaskKinds(
            trainers=(media, captioning, Downloader(), Pusher()),
            harvesters={TaskType.PREPROCESSING: self.harvester, TaskType.CACHE: self.harvester},
        )
