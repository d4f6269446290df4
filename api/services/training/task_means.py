"""By what every task without a training is made, shown, stopped and begun again: preprocessing, downloads, pushes."""

from collections.abc import Callable
from pathlib import Path

from api.services.training.dispatcher import Dispatcher
from api.services.training.intake import Intake
from api.services.training.quotas import Quotas
from api.services.training.task_progress import ProgressAnswers
from api.services.training.task_stops import TaskStops
from api.storage.attempts import AttemptStore
from api.storage.tasks import TaskStore
from api.utils.clock import Clock
from api.utils.frozen import frozen


@frozen
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
