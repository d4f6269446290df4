"""What downloads and pushes of models have in common: tasks without GPUs that are paused, resumed and given up."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from api.domain.access import Principal
from api.domain.cause import CauseCode
from api.domain.progress import NOTHING_YET, ProgressReport
from api.domain.reason import Reason
from api.domain.sight import current_sight
from api.domain.task import TASK_ID_KINDS, TaskType
from api.domain.training import (
    GPURequest,
    NewTask,
    ResumeOptions,
    TaskFilter,
    TaskStatus,
    TaskSummary,
    TrainingPlan,
    TrainingRequest,
    TrainingTask,
)
from api.errors import Conflict, TaskActive
from api.files.disk import find_shortage
from api.files.task_files import TaskFiles, task_files
from api.jobs.downloads.wish import CANCELLED, STATE, WISH
from api.training.task_means import TaskMeans
from api.util.foreign_files import is_gone, make_directory, read, remove, write
from api.util.foreign_trees import remove_tree
from api.util.ids import new_task_id
from api.util.pagination import Page, PageRequest, read_page

#: Parts of the path of a task's output directory that are entered without following a link.
LEVELS = 2

#: What a list tells of a request.
_TOLD = ("model", "version", "repository")

#: Nobody has asked a task in one of these to stop.
_AT_WORK = (TaskStatus.QUEUED, TaskStatus.STARTING, TaskStatus.RUNNING)

#: Tries after an end that came from outside: a kill, a lost supervisor.
_MOST_RETRIES = 3

#: A SIGKILL that nobody here gave is taken for the out-of-memory killer's.
_RETRIED = (
    CauseCode.KILLED,
    CauseCode.HOST_OUT_OF_MEMORY,
    CauseCode.SUPERVISOR_LOST,
    CauseCode.MACHINE_RESTARTED,
)


@dataclass(frozen=True, slots=True)
class TransferWork:
    """What a task is made of. `wish` is for the program; `lay_out` puts further files into the output directory."""

    model_type: str | None
    name: str | None
    order: Mapping[str, Any]
    wish: Mapping[str, Any]
    lay_out: Callable[[Path], None] = lambda _: None
    token_variable: str = "HF_TOKEN"  # noqa: S105 - the name of the variable, by which the program gets the token


class Transfers:
    """Tasks of one kind, executed by the trainer of this name."""

    def __init__(self, means: TaskMeans, kind: TaskType, trainer: str) -> None:
        self._means = means
        self._kind = kind
        self._trainer = trainer

    def find_by_key(self, idempotency_key: str | None) -> str | None:
        """The id of the task that was made by this key; None when there is none."""
        first = self._means.tasks.find_by_key(idempotency_key)
        return None if first is None else first.task_id

    def start(self, work: TransferWork, token: str | None, asks: Principal, idempotency_key: str | None) -> str:
        """Makes a task; its id. The token goes into the task's file of secrets, and into no other place.

        Raises InsufficientStorage, QuotaExceeded, OSError.
        """
        means = self._means
        shortage = find_shortage(means.storage_root, means.min_free_mb)
        if shortage is not None:
            raise shortage
        request = TrainingRequest(
            work.model_type or "",
            GPURequest(count=0),
            name=work.name,
            config={"order": dict(work.order)},
            max_retries=_MOST_RETRIES,
            retry_on=_RETRIED,
        )
        self._require_storage(asks.owner, request)
        task_id = new_task_id(TASK_ID_KINDS[self._kind], means.clock.now())
        plan = TrainingPlan(self._trainer, request.model_type, 0)
        new = NewTask(task_id, self._trainer, request, plan, None, idempotency_key, asks.owner, self._kind)
        self._submit(new, work, token, asks.actor)
        return task_id

    def _require_storage(self, owner: str | None, request: TrainingRequest) -> None:
        """Check an owner's storage quota; a push stores nothing here. Raises QuotaExceeded."""
        if self._kind is TaskType.DOWNLOAD:
            self._means.intake.require(owner, request)

    def _submit(self, new: NewTask, work: TransferWork, token: str | None, actor: str) -> None:
        """Lays the work of a task out, and puts it into the queue; all of it or nothing."""
        files = self.files(new.task_id)
        try:
            make_directory(str(files.output), levels=LEVELS)
            work.lay_out(files.output)
            write(str(files.output / WISH), orjson.dumps(dict(work.wish)), levels=LEVELS)
            files.keep_secrets({work.token_variable: token} if token else {})
            self._means.intake.create(new, actor)
        except (OSError, Conflict):
            remove_tree(str(files.root), levels=0)
            raise
        self._means.wake()

    # -- changing ------------------------------------------------------------------------------------------------------

    def pause(self, task_id: str, actor: str) -> None:
        """Asks a task to stop; what is done of it stays. Raises TaskNotFound, TaskNotStoppable."""
        self._means.tasks.get_summary(task_id)
        self._means.stops.ask(task_id, force=False, timeout_seconds=None, actor=actor)

    def cancel(self, task_id: str, actor: str) -> None:
        """Gives a task up, whether it waits, runs, was paused or failed; it cannot be resumed.

        Raises TaskNotFound, TaskNotStoppable.
        """
        if self._means.tasks.get_summary(task_id).status not in (TaskStatus.STOPPED, TaskStatus.FAILED):
            self.pause(task_id, actor)
        files = self.files(task_id)
        make_directory(str(files.output), levels=LEVELS)
        write(str(files.output / CANCELLED), b"{}", levels=LEVELS)
        remove(str(files.secrets), levels=1)
        # Somebody may have resumed it between the look and the mark; from now on that is refused.
        if self._means.tasks.get_summary(task_id).status in _AT_WORK:
            self.pause(task_id, actor)

    def resume(self, task_id: str, actor: str) -> None:
        """Lets a task that was paused, or failed, go on. Raises TaskNotFound, TaskActive, Conflict, QuotaExceeded."""
        means, now = self._means, self._means.clock.now()
        task = means.tasks.get(task_id)
        if not task.status.is_finished:
            raise TaskActive(f"{task_id} is {task.status}.", data={"status": task.status})
        if task.status is TaskStatus.COMPLETED or self.is_cancelled(task_id):
            raise Conflict(f"{task_id} has ended for good: begin anew.")
        self._require_storage(task.owner, task.request)
        message = Reason.of("to be resumed from {name}", "to_be_resumed", name="what is there")
        again = (task_id, ResumeOptions(), task.request, task.plan, now, actor, message)
        means.intake.enqueue(task.owner, lambda bound: means.tasks.enqueue_again(*again, bound))
        if self.is_cancelled(task_id):
            # It was given up in this moment, by somebody who may have seen it still paused.
            self.pause(task_id, actor)
            raise Conflict(f"{task_id} has ended for good: begin anew.")
        means.wake()

    # -- looking -------------------------------------------------------------------------------------------------------

    def get(self, task_id: str) -> tuple[TaskSummary, ProgressReport]:
        """One task, and how far it is. Raises TaskNotFound."""
        task, attempts = self._means.attempts.with_task(task_id)
        return task, self._means.progress.live(task, attempts) or task.progress or NOTHING_YET

    def get_page(self, page: PageRequest, pushed_model: str | None = None) -> Page[TaskSummary]:
        """A page of the tasks that whoever asks may see, of pushes those of one model alone; newest first."""
        wanted = TaskFilter((), seen_by=current_sight.get().only_of, pushed_model=pushed_model)
        return read_page(lambda *cut: self._means.tasks.page(wanted, *cut), lambda row: row.serial, page)

    def why_waiting(self, task: TaskSummary) -> Reason | None:
        """Why a task waits, in words; None when it does not."""
        return self._means.dispatcher.why_waiting(task)

    def is_cancelled(self, task_id: str) -> bool:
        """Whether it was given up."""
        return not is_gone(str(self.files(task_id).output / CANCELLED))

    def state(self, task_id: str) -> dict[str, Any]:
        """What the program has written about its files; empty while it has not, or where that is damaged."""
        with suppress(OSError, orjson.JSONDecodeError):
            found = orjson.loads(read(str(self.files(task_id).output / STATE), levels=LEVELS))
            if isinstance(found, dict) and isinstance(found.get("files"), list):
                return found
        return {}

    def order_of(self, task: TaskSummary) -> Mapping[str, Any]:
        """What was asked for; of a task in a list only what its program was told of it."""
        if isinstance(task, TrainingTask):
            return dict(task.request.config.get("order", {}))
        with suppress(OSError, orjson.JSONDecodeError):
            found = orjson.loads(read(str(self.files(task.task_id).output / WISH), levels=LEVELS))
            if isinstance(found, dict):
                return {name: found[name] for name in _TOLD if name in found}
        return {}

    def files(self, task_id: str) -> TaskFiles:
        """Where a task's files lie."""
        return task_files(self._means.storage_root, task_id)


def whole(values: Mapping[str, Any], name: str) -> int | None:
    """A count that a program has written; None where it is none."""
    value = values.get(name)
    return value if type(value) is int and 0 <= value < 2**63 else None


def number(values: Mapping[str, Any], name: str) -> float | None:
    """A number that a program has written; None where it is none."""
    value = values.get(name)
    return float(value) if isinstance(value, int | float) and 0 <= value < 1e15 else None
