"""Downloads of models: tasks like any other, started, shown, paused, resumed and cancelled."""

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from api.errors import Conflict, InsufficientStorage, TaskActive
from api.models.access import Principal
from api.models.catalog import CatalogModel
from api.models.download import DownloadedFile, DownloadStatus, DownloadView
from api.models.progress import NOTHING_YET, ProgressReport
from api.models.reason import Reason
from api.models.sight import current_sight
from api.models.task import TASK_ID_KINDS, TaskType
from api.models.training import (
    CauseCode,
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
from api.services.catalog.download_wish import DownloadOrder, DownloadRules, make_wish
from api.services.training.dispatcher import Dispatcher
from api.services.training.intake import Intake
from api.services.training.task_progress import ProgressAnswers
from api.services.training.task_stops import TaskStops
from api.storage.attempts import AttemptStore
from api.storage.disk import describe_shortage
from api.storage.task_files import TaskFiles, task_files
from api.storage.tasks import TaskStore
from api.trainers.downloads.trainer import DOWNLOADS
from api.trainers.downloads.wish import CANCELLED, STATE, WISH
from api.utils.clock import Clock
from api.utils.foreign_files import is_gone, make_directory, read, remove, write
from api.utils.foreign_trees import remove_tree
from api.utils.ids import new_task_id
from api.utils.pagination import Page, PageRequest, read_page

logger = logging.getLogger(__name__)

#: Parts of the path of a task's output directory that are entered without following a link.
_LEVELS = 2

#: Tries after an end that came from outside: a kill, a lost supervisor.
_MOST_RETRIES = 3

#: A SIGKILL that nobody here gave is taken for the out-of-memory killer's.
_RETRIED = (
    CauseCode.KILLED,
    CauseCode.HOST_OUT_OF_MEMORY,
    CauseCode.SUPERVISOR_LOST,
    CauseCode.MACHINE_RESTARTED,
)

_STATUSES = {
    TaskStatus.QUEUED: DownloadStatus.QUEUED,
    TaskStatus.STARTING: DownloadStatus.DOWNLOADING,
    TaskStatus.RUNNING: DownloadStatus.DOWNLOADING,
    TaskStatus.STOPPING: DownloadStatus.DOWNLOADING,
    TaskStatus.COMPLETED: DownloadStatus.COMPLETED,
    TaskStatus.FAILED: DownloadStatus.FAILED,
    TaskStatus.STOPPED: DownloadStatus.PAUSED,
}


@dataclass(frozen=True, slots=True)
class DownloadMeans:
    """By what downloads are made, shown and stopped: the stores see those alone."""

    tasks: TaskStore
    attempts: AttemptStore
    intake: Intake
    dispatcher: Dispatcher
    progress: ProgressAnswers
    stops: TaskStops
    wake: Callable[[], None]
    clock: Clock
    storage_root: Path


class DownloadService:
    """The use cases of `/models/download`."""

    def __init__(self, means: DownloadMeans, models: Mapping[str, CatalogModel], rules: DownloadRules) -> None:
        self._means = means
        self._models = models
        self._rules = rules

    # -- beginning -----------------------------------------------------------------------------------------------------

    def start(
        self, order: DownloadOrder, token: str | None, asks: Principal, idempotency_key: str | None = None
    ) -> DownloadView:
        """Makes a task that downloads. The token goes into the task's file of secrets, and into no other place.

        Raises ModelNotFound, PicklesRefused, InsufficientStorage, QuotaExceeded.
        """
        means, now = self._means, self._means.clock.now()
        first = means.tasks.find_by_key(idempotency_key)
        if first is not None:
            return self.get(first.task_id)
        wish = make_wish(order, self._models, self._rules)
        shortage = describe_shortage(means.storage_root, self._rules.min_free_mb)
        if shortage is not None:
            raise InsufficientStorage(f"There is too little disk space: {shortage.text}.")
        request = TrainingRequest(
            order.model_id or "",
            GPURequest(count=0),
            name=order.name or order.model_id or order.repository,
            config={"order": order.as_config()},
            max_retries=_MOST_RETRIES,
            retry_on=_RETRIED,
        )
        task_id = new_task_id(TASK_ID_KINDS[TaskType.DOWNLOAD], now)
        plan = TrainingPlan(DOWNLOADS, request.model_type, 0)
        new = NewTask(task_id, DOWNLOADS, request, plan, None, idempotency_key, asks.owner, TaskType.DOWNLOAD)
        self._submit(new, wish.as_json(), token, asks.actor)
        logger.info("download submitted", extra={"task_id": task_id})
        return self.get(task_id)

    def _submit(self, new: NewTask, wish: Mapping[str, Any], token: str | None, actor: str) -> None:
        """Lays the work of a task out, and puts it into the queue; all of it or nothing."""
        files = self._files(new.task_id)
        try:
            make_directory(str(files.output), levels=_LEVELS)
            write(str(files.output / WISH), orjson.dumps(dict(wish)), levels=_LEVELS)
            files.keep_secrets({"HF_TOKEN": token} if token else {})
            self._means.intake.create(new, actor)
        except (OSError, Conflict):
            remove_tree(str(files.root), levels=0)
            raise
        self._means.wake()

    # -- changing ------------------------------------------------------------------------------------------------------

    def pause(self, task_id: str, actor: str) -> DownloadView:
        """Asks a download to stop; what is there of it stays. Raises TaskNotFound, TaskNotStoppable."""
        self._means.tasks.get_summary(task_id)
        self._means.stops.ask(task_id, force=False, timeout_seconds=None, actor=actor)
        return self.get(task_id)

    def cancel(self, task_id: str, actor: str) -> DownloadView:
        """Asks a download to stop for good; it cannot be resumed. Raises TaskNotFound, TaskNotStoppable."""
        view = self.pause(task_id, actor)
        files = self._files(task_id)
        make_directory(str(files.output), levels=_LEVELS)
        write(str(files.output / CANCELLED), b"{}", levels=_LEVELS)
        remove(str(files.secrets), levels=1)
        return self.get(view.download_id)

    def resume(self, task_id: str, actor: str) -> DownloadView:
        """Lets a download that was paused, or failed, go on. Raises TaskNotFound, TaskActive, Conflict."""
        means, now = self._means, self._means.clock.now()
        task = means.tasks.get(task_id)
        if not task.status.is_finished:
            raise TaskActive(f"{task_id} is {task.status}.", data={"status": task.status})
        if task.status is TaskStatus.COMPLETED or self._is_cancelled(task_id):
            raise Conflict(f"{task_id} has ended for good: download it anew.")
        message = Reason.of("to be resumed from {name}", "to_be_resumed", name="what is there")
        again = (task_id, ResumeOptions(), task.request, task.plan, now, actor, message)
        means.intake.enqueue(task.owner, lambda bound: means.tasks.enqueue_again(*again, bound))
        means.wake()
        return self.get(task_id)

    # -- looking -------------------------------------------------------------------------------------------------------

    def get(self, task_id: str) -> DownloadView:
        """One download. Raises TaskNotFound."""
        task, attempts = self._means.attempts.with_task(task_id)
        return self._show(task, self._means.progress.live(task, attempts))

    def get_page(self, page: PageRequest) -> Page[DownloadView]:
        """A page of the downloads that whoever asks may see, newest first."""
        wanted = TaskFilter((), seen_by=current_sight.get().only_of)
        found = read_page(lambda *cut: self._means.tasks.page(wanted, *cut), lambda row: row.serial, page)
        return found.map(lambda task: self._show(task, None))

    def _show(self, task: TaskSummary, live: ProgressReport | None) -> DownloadView:
        report, state = live or task.progress or NOTHING_YET, self._state(task.task_id)
        order = task.request.config.get("order", {}) if isinstance(task, TrainingTask) else {}
        is_active, files = task.status.is_active, tuple(map(_show_file, state.get("files") or ()))
        speed, left = (_number(state, name) if is_active else None for name in ("bytes_per_second", "eta"))
        why = self._means.dispatcher.why_waiting(task)
        return DownloadView(
            download_id=task.task_id,
            name=task.name,
            model_id=task.model_type or None,
            version=order.get("version"),
            status=self._status(task, files),
            progress=100.0 if task.status is TaskStatus.COMPLETED else report.progress.overall_progress,
            speed=speed,
            eta=left,
            components=files,
            bytes_total=_whole(state, "bytes_total"),
            bytes_done=_whole(state, "bytes_done"),
            bytes_per_second=speed,
            eta_seconds=left,
            owner=task.owner,
            waiting_reason=None if why is None else why.text,
            failure=task.cause if task.status is TaskStatus.FAILED else None,
            warnings=report.warnings,
            created_at=task.created_at,
            updated_at=task.updated_at,
            finished_at=task.finished_at,
            request=order,
        )

    def _status(self, task: TaskSummary, files: tuple[DownloadedFile, ...]) -> DownloadStatus:
        if task.status is TaskStatus.STOPPED and self._is_cancelled(task.task_id):
            return DownloadStatus.CANCELLED
        is_verifying = task.status is TaskStatus.RUNNING and any(file.status == "verifying" for file in files)
        return DownloadStatus.VERIFYING if is_verifying else _STATUSES[task.status]

    def _is_cancelled(self, task_id: str) -> bool:
        return not is_gone(str(self._files(task_id).output / CANCELLED))

    def _state(self, task_id: str) -> dict[str, Any]:
        """What the program has written about its files; empty while it has not, or where that is damaged."""
        with suppress(OSError, orjson.JSONDecodeError):
            found = orjson.loads(read(str(self._files(task_id).output / STATE), levels=_LEVELS))
            if isinstance(found, dict) and isinstance(found.get("files"), list):
                return found
        return {}

    def _files(self, task_id: str) -> TaskFiles:
        return task_files(self._means.storage_root, task_id)


def _show_file(found: Any) -> DownloadedFile:
    told: Mapping[str, Any] = found if isinstance(found, dict) else {}
    size, there = _whole(told, "size"), _whole(told, "downloaded") or 0
    path = told.get("path")
    directory = str(told.get("directory", ""))[:300]
    return DownloadedFile(
        name=str(told.get("name", ""))[:1024],
        repository=directory if "/" in directory else None,
        size=size,
        downloaded=there,
        progress=None if not size else min(100.0, round(100.0 * there / size, 1)),
        path=path if isinstance(path, str) else None,
        status=str(told.get("status", ""))[:40],
    )


def _whole(values: Mapping[str, Any], name: str) -> int | None:
    value = values.get(name)
    return value if type(value) is int and 0 <= value < 2**63 else None


def _number(values: Mapping[str, Any], name: str) -> float | None:
    value = values.get(name)
    return float(value) if isinstance(value, int | float) and 0 <= value < 1e15 else None
