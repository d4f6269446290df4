"""By what every task without a training is made, shown, stopped and begun again: preprocessing, downloads, pushes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from api.training.attempt_store import AttemptStore
from api.training.dispatcher import Dispatcher
from api.training.intake import Intake
from api.training.quotas import Quotas
from api.training.store import TaskStore
from api.training.task_progress import ProgressAnswers
from api.training.task_stops import TaskStops
from api.util.clock import Clock


@dataclass(frozen=True, slots=True)
class TaskMeans:
    """The parts that such tasks go through; the stores see those of one kind alone."""

    tasks: TaskStore
    attempts: AttemptStore
    intake: Intake
    dispatcher: Dispatcher
    progress: ProgressAnswers
    stops: TaskStops
    wake: Callable[[], None]  #: makes the training loop look at once
    clock: Clock
    storage_root: Path
    min_free_mb: int = 0
    quotas: Quotas | None = None  #: None: tasks belong to nobody
