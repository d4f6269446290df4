"""Tasks that download or push models. They use no GPUs and can be paused, resumed and cancelled."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import orjson

from api.domain.access.principal import Principal
from api.domain.access.read_scope import current_scope
from api.domain.reason import Reason, code_of
from api.domain.tasks.progress import NO_PROGRESS, ProgressReport
from api.domain.tasks.task import TASK_ID_KINDS, TaskType
from api.domain.tasks.training import (
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
from api.files.task_files import TaskFiles
from api.jobs.downloads.request import CANCELLED, STATE
from api.jobs.kinds import REQUEST_FILE
from api.training.output.follow_up_tasks import MAX_RETRIES, RETRIED
from api.training.task_resources import TaskResources
from api.util.files.foreign_files import is_gone, make_directory, read, remove, write
from api.util.http.pagination import Page, PageRequest, read_page
from api.util.text.ids import new_task_id

#: Path components of a task's output directory, from its end, in which symbolic links are not followed.
LEVELS = 2

#: Fields of a request that lists show.
_LISTED = ("model", "version", "repository")

#: Statuses of transfers. None: the program runs, and each kind has a name for that.
_STATUSES = {
    TaskStatus.QUEUED: "queued",
    TaskStatus.STARTING: None,
    TaskStatus.RUNNING: None,
    TaskStatus.STOPPING: None,
    TaskStatus.COMPLETED: "completed",
    TaskStatus.FAILED: "failed",
    TaskStatus.STOPPED: "paused",
}

#: Statuses of tasks that were not asked to stop.
_NOT_STOPPING = (TaskStatus.QUEUED, TaskStatus.STARTING, TaskStatus.RUNNING)

View = TypeVar("View")


@dataclass(frozen=True, slots=True)
class TransferWork:
    """The content of a new task.

    `order` is the user's request, `program_request` that of the program. `lay_out` puts more files into the output
    directory.
    """

    model_type: str | None
    name: str | None
    order: Mapping[str, Any]
    program_request: Mapping[str, Any]
    lay_out: Callable[[Path], None] = lambda _: None
    token_variable: str = "HF_TOKEN"  # noqa: S105 - the variable's name


class Transfers(ABC, Generic[View]):
    """The use cases of one kind of transfers, run by the trainer of this name. Complete files stay in any case."""

    def __init__(self, resources: TaskResources, kind: TaskType, trainer: str) -> None:
        self._resources = resources
        self._kind = kind
        self._trainer = trainer

    @abstractmethod
    def _show(self, task: TaskSummary, report: ProgressReport) -> View:
        """Return the view of a task."""

    def _find_by_key(self, idempotency_key: str | None) -> View | None:
        """Return the transfer that was started with this key; None without one."""
        first = self._resources.tasks.find_by_key(idempotency_key)
        return None if first is None else self.get(first.task_id)

    def _start(self, work: TransferWork, token: str | None, principal: Principal, idempotency_key: str | None) -> str:
        """Create a task and return its id. The token is stored in the task's secrets file only.

        Raises InsufficientStorage, QuotaExceeded, OSError.
        """
        resources = self._resources
        shortage = resources.storage.find_shortage()
        if shortage is not None:
            raise shortage
        request = TrainingRequest(
            work.model_type or "",
            GPURequest(count=0),
            name=work.name,
            config={"order": dict(work.order)},
            max_retries=MAX_RETRIES,
            retry_on=RETRIED,
        )
        self._require_storage(principal.owner, request)
        task_id = new_task_id(TASK_ID_KINDS[self._kind], resources.clock.now())
        plan = TrainingPlan(self._trainer, request.model_type, 0)
        new = NewTask(task_id, self._trainer, request, plan, None, idempotency_key, principal.owner, self._kind)
        self._submit(new, work, token, principal.actor)
        return task_id

    def _require_storage(self, owner: str | None, request: TrainingRequest) -> None:
        """Check the owner's storage quota. A push stores nothing here. Raises QuotaExceeded."""
        if self._kind is TaskType.DOWNLOAD:
            self._resources.intake.require(owner, request)

    def _submit(self, new: NewTask, work: TransferWork, token: str | None, actor: str) -> None:
        """Write the files of a task and queue it; on an error, remove the files."""
        files = self.files(new.task_id)

        def write_files() -> None:
            make_directory(str(files.output), levels=LEVELS)
            work.lay_out(files.output)
            write(str(files.output / REQUEST_FILE), orjson.dumps(dict(work.program_request)), levels=LEVELS)
            files.store_secrets({work.token_variable: token} if token else {})

        self._resources.intake.create_with_files(new, actor, files, write_files)

    # -- changing ------------------------------------------------------------------------------------------------------

    def pause(self, task_id: str, actor: str) -> View:
        """Ask a transfer to stop. Its partial results stay. Raises TaskNotFound, TaskNotStoppable."""
        self._request_stop(task_id, actor)
        return self.get(task_id)

    def _request_stop(self, task_id: str, actor: str) -> None:
        self._resources.tasks.get_summary(task_id)
        self._resources.stops.request_stop(task_id, force=False, timeout_seconds=None, actor=actor)

    def cancel(self, task_id: str, actor: str) -> View:
        """Cancel a queued, running, paused or failed transfer, so that it cannot be resumed.

        Raises TaskNotFound, TaskNotStoppable.
        """
        if self._resources.tasks.get_summary(task_id).status not in (TaskStatus.STOPPED, TaskStatus.FAILED):
            self._request_stop(task_id, actor)
        files = self.files(task_id)
        make_directory(str(files.output), levels=LEVELS)
        write(str(files.output / CANCELLED), b"{}", levels=LEVELS)
        remove(str(files.secrets), levels=1)
        # Another request may have resumed the task before the file was written. Later requests are rejected.
        if self._resources.tasks.get_summary(task_id).status in _NOT_STOPPING:
            self._request_stop(task_id, actor)
        return self.get(task_id)

    def resume(self, task_id: str, actor: str) -> View:
        """Resume a paused or failed transfer. Raises TaskNotFound, TaskActive, Conflict, QuotaExceeded."""
        resources, now = self._resources, self._resources.clock.now()
        task = resources.tasks.get(task_id)
        if not task.status.is_finished:
            raise TaskActive(f"{task_id} is {task.status}.", data={"status": task.status})
        if task.status is TaskStatus.COMPLETED or self.is_cancelled(task_id):
            raise Conflict(f"{task_id} cannot be resumed, because it is completed or cancelled. Start a new one.")
        self._require_storage(task.owner, task.request)
        message = Reason.of("will resume from {name}", "to_be_resumed", name="the stored files")
        again = (task_id, ResumeOptions(), task.request, task.plan, now, actor, message)
        resources.intake.enqueue(task.owner, lambda bound: resources.tasks.enqueue_again(*again, bound))
        if self.is_cancelled(task_id):
            # Another request cancelled the task at the same time.
            self._request_stop(task_id, actor)
            raise Conflict(f"{task_id} cannot be resumed, because it is completed or cancelled. Start a new one.")
        return self.get(task_id)

    # -- reading -------------------------------------------------------------------------------------------------------

    def get(self, task_id: str) -> View:
        """Return a transfer. Raises TaskNotFound."""
        task, attempts = self._resources.attempts.with_task(task_id)
        return self._show(task, self._resources.progress.live(task, attempts) or task.progress or NO_PROGRESS)

    def get_page(self, page: PageRequest, pushed_model: str | None = None) -> Page[View]:
        """Return a page of the transfers that the user may see, newest first; optionally the pushes of one model."""
        wanted = TaskFilter((), seen_by=current_scope.get().only_of, pushed_model=pushed_model)
        found = read_page(lambda *cut: self._resources.tasks.page(wanted, *cut), lambda row: row.serial, page)
        return found.map(lambda task: self._show(task, task.progress or NO_PROGRESS))

    def _status_of(self, task: TaskSummary, running: str) -> str:
        """Return a transfer's status. `running` is the name of that of a running one."""
        if task.status in (TaskStatus.STOPPED, TaskStatus.FAILED) and self.is_cancelled(task.task_id):
            return "cancelled"
        return _STATUSES[task.status] or running

    def _shared_fields(self, task: TaskSummary, report: ProgressReport, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields that the views of all transfers have."""
        why, is_active = self._resources.dispatcher.why_waiting(task), task.status.is_active
        return {
            "progress": 100.0 if task.status is TaskStatus.COMPLETED else report.progress.overall_progress,
            "bytes_total": whole(state, "bytes_total"),
            "bytes_done": whole(state, "bytes_done"),
            "bytes_per_second": number(state, "bytes_per_second") if is_active else None,
            "eta_seconds": number(state, "eta") if is_active else None,
            "owner": task.owner,
            "waiting_reason": None if why is None else why.text,
            "waiting_reason_code": code_of(why),
            "failure": task.cause if task.status is TaskStatus.FAILED else None,
            "warnings": tuple(dict.fromkeys(report.warnings)),
            "created_at": task.created_at,
            "updated_at": task.updated_at,
            "finished_at": task.finished_at,
        }

    def is_cancelled(self, task_id: str) -> bool:
        """Return whether a task was cancelled."""
        return not is_gone(str(self.files(task_id).output / CANCELLED))

    def state(self, task_id: str) -> dict[str, Any]:
        """Return the program's state file; an empty dict if it is missing or damaged."""
        with suppress(OSError, orjson.JSONDecodeError):
            found = orjson.loads(read(str(self.files(task_id).output / STATE), levels=LEVELS))
            if isinstance(found, dict) and isinstance(found.get("files"), list):
                return found
        return {}

    def order_of(self, task: TaskSummary) -> Mapping[str, Any]:
        """Return the user's request; for a task of a list, only the fields that lists show."""
        if isinstance(task, TrainingTask):
            return dict(task.request.config.get("order", {}))
        with suppress(OSError, orjson.JSONDecodeError):
            found = orjson.loads(read(str(self.files(task.task_id).output / REQUEST_FILE), levels=LEVELS))
            if isinstance(found, dict):
                return {name: found[name] for name in _LISTED if name in found}
        return {}

    def files(self, task_id: str) -> TaskFiles:
        """Return the paths of a task's files."""
        return self._resources.storage.files(task_id)


def whole(values: Mapping[str, Any], name: str) -> int | None:
    """Return a count that a program wrote; None if it is missing or invalid."""
    value = values.get(name)
    return value if type(value) is int and 0 <= value < 2**63 else None


def number(values: Mapping[str, Any], name: str) -> float | None:
    """Return a number that a program wrote; None if it is missing or invalid."""
    value = values.get(name)
    return float(value) if isinstance(value, int | float) and 0 <= value < 1e15 else None
