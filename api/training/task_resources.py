"""Resources of tasks other than trainings: preprocessing, downloads and pushes."""

from dataclasses import dataclass

from api.files.task_files import TaskStorage
from api.training.intake import Intake
from api.training.queue.dispatcher import Dispatcher
from api.training.queue.quotas import Quotas
from api.training.records.attempt_store import AttemptStore
from api.training.records.task_store import TaskStore
from api.training.stops import TaskStops
from api.training.task_answers import ProgressAnswers
from api.util.clock import Clock


@dataclass(frozen=True, slots=True)
class TaskResources:
    """The services that tasks other than trainings use. The stores are restricted to one kind of task."""

    tasks: TaskStore
    attempts: AttemptStore
    intake: Intake
    dispatcher: Dispatcher
    progress: ProgressAnswers
    stops: TaskStops
    clock: Clock
    storage: TaskStorage
    quotas: Quotas | None = None  #: None: tasks have no owners
