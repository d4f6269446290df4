"""Tasks without GPUs whose program works on the files of a training: exports of its checkpoints, and samples."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from api.domain.reason import Reason
from api.domain.tasks.cause import CauseCode
from api.domain.tasks.task import TASK_ID_KINDS, TaskType
from api.domain.tasks.training import GPURequest, NewTask, ResumeOptions, TrainingPlan, TrainingRequest, TrainingTask
from api.files.task_files import TaskFiles, TaskStorage
from api.jobs.kinds import REQUEST_FILE
from api.training.intake import Intake
from api.training.records.task_store import TaskStore
from api.util.clock import Clock
from api.util.files.foreign_files import make_directory, write
from api.util.text.ids import new_task_id

#: Path components of a task's output directory, from its end, in which symbolic links are not followed.
_LEVELS = 2

#: Retries after an end with an outside cause, such as a kill or a lost supervisor.
MAX_RETRIES = 3

#: A SIGKILL from outside this service counts as one of the out-of-memory killer.
RETRIED = (
    CauseCode.KILLED,
    CauseCode.HOST_OUT_OF_MEMORY,
    CauseCode.SUPERVISOR_LOST,
    CauseCode.MACHINE_RESTARTED,
)


class FollowUpTasks:
    """Creates the tasks of one kind, which the trainer of this name runs. Thread-safe."""

    def __init__(
        self,
        kind: TaskType,
        trainer: str,
        tasks: TaskStore,
        intake: Intake,
        clock: Clock,
        storage: TaskStorage,
    ) -> None:
        self._kind = kind
        self._trainer = trainer
        self._tasks = tasks
        self._intake = intake
        self._clock = clock
        self._storage = storage

    def create(
        self,
        training: TrainingTask,
        order: Mapping[str, Any],
        program_request: Mapping[str, Any],
        idempotency_key: str | None,
        actor: str,
        verify: Callable[[], None],
    ) -> str:
        """Queue a task for the training's owner, and return its id, or that of the task with this key.

        `order` is stored with the task. `verify` checks that its files exist.
        Raise InsufficientStorage, QuotaExceeded, or OSError.
        """
        shortage = self._storage.find_shortage()
        if shortage is not None:
            raise shortage
        request = TrainingRequest(
            training.model_type,
            GPURequest(count=0),
            name=training.name,
            config={"order": dict(order)},
            max_retries=MAX_RETRIES,
            retry_on=RETRIED,
        )
        task_id = new_task_id(TASK_ID_KINDS[self._kind], self._clock.now())
        plan = TrainingPlan(self._trainer, training.model_type, 0)
        new = NewTask(
            task_id,
            self._trainer,
            request,
            plan,
            idempotency_key=idempotency_key,
            owner=training.owner,
            kind=self._kind,
        )
        self._intake.require(training.owner, request)
        write_files = lambda: self.write_request(task_id, program_request)  # noqa: E731
        created = self._intake.create_with_files(new, actor, self.files(task_id), write_files, training.task_id, verify)
        return created.task_id

    def repeat(
        self, task: TrainingTask, program_request: Mapping[str, Any], actor: str, checkpoint: str
    ) -> TrainingTask:
        """Queue a finished task again, to continue from `checkpoint`. Raise TaskActive, QuotaExceeded, or OSError."""
        self.write_request(task.task_id, program_request)
        message = Reason.of("will resume from {name}", "to_be_resumed", name=checkpoint)
        again = (task.task_id, ResumeOptions(), task.request, task.plan, self._clock.now(), actor, message)
        return self._intake.enqueue(task.owner, lambda bound: self._tasks.enqueue_again(*again, bound))

    def write_request(self, task_id: str, program_request: Mapping[str, Any]) -> None:
        """Write the request that the program reads. Raise OSError."""
        output = self.files(task_id).output
        make_directory(str(output), levels=_LEVELS)
        write(str(output / REQUEST_FILE), orjson.dumps(dict(program_request)), levels=_LEVELS, mode=0o640)

    def files(self, task_id: str) -> TaskFiles:
        """Return the paths of a task's files."""
        return self._storage.files(task_id)
