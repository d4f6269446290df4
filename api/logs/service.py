"""The service of logs: pages of lines, searches, downloads, and the sources for followers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from api.domain.access.read_scope import current_scope
from api.domain.log import Classifier, LineFilter, LogEnd, LogPage, SearchResult, TaskLogPage
from api.domain.tasks.training import TaskFilter, TrainingTask
from api.errors import SearchBusy, TaskNotFound
from api.executors.executor import Executor
from api.logs.reader import MAX_PAGE_BYTES, MAX_PAGE_LINES, LogSource
from api.logs.search import LogQuery, SearchRun
from api.streaming.models import TaskEnd
from api.trainers.protocol.log_lines import LineClassifier
from api.training.output.written import TrainingOutput
from api.training.records.attempt_store import AttemptStore, TaskStores
from api.training.records.task_store import TaskStore
from api.training.task_answers import LostOutput
from api.util.clock import Clock
from api.util.copying import copy_fields
from api.web.file_responses import LogDownload, open_download

#: Maximum number of concurrent searches, since they occupy threads that serve other requests.
MAX_SEARCHES = 2

#: Default number of lines on a page, and of bytes for a page from an offset.
DEFAULT_TAIL = 200
DEFAULT_BYTES = 256 * 1024

_TASKS_AT_ONCE = 50


def find_end(tasks: TaskStore, attempts: AttemptStore, task_id: str) -> TaskEnd | None:
    """Return the end of a task, from its latest attempt; None if it has not ended. Raises TaskNotFound."""
    task = tasks.get_summary(task_id)
    if not task.status.is_finished:
        return None
    latest = attempts.of_task(task_id)[-1:]
    outcome = (latest[0].outcome if latest else None) or {}
    return TaskEnd(task_id, task.status, task.cause, outcome.get("exit_code"))


class LogService:
    """Reads and searches logs. `own` is the server's log."""

    def __init__(
        self,
        stores: TaskStores,
        output: TrainingOutput,
        executor: Executor,
        own: LogSource,
        clock: Clock,
    ) -> None:
        self.own = own
        self._executor = executor
        self._lost = LostOutput(executor, output.storage.root)
        self._tasks, self._attempts = stores.tasks, stores.attempts
        self._output = output
        self._clock = clock
        self._searches = threading.BoundedSemaphore(MAX_SEARCHES)

    def find(self, task_id: str) -> LogSource:
        """Return the log of a task. Raises TaskNotFound, StorageGone."""
        task = self._tasks.get(task_id)
        # Without its disk, every log would appear empty.
        self._output.storage.require()
        trainer = self._output.trainers.get(task.trainer)
        steps = _steps_per_epoch(task)

        def create_classifier() -> Classifier:
            return LineClassifier(steps) if trainer is None else trainer.create_classifier(steps)

        log = self._executor.open_log(self._output.files(task_id).log)
        is_finished = task.status.is_finished
        return LogSource(task_id, task_id, log, create_classifier, lambda: self._look_up_end(task_id), is_finished)

    def _look_up_end(self, task_id: str) -> LogEnd | None:
        try:
            end = find_end(self._tasks, self._attempts, task_id)
        except TaskNotFound:
            return LogEnd(None)
        return None if end is None else LogEnd(end.status, end.failure, end.exit_code)

    # -- pages -----------------------------------------------------------------------------------------------------

    def get_page(
        self,
        source: LogSource,
        *,
        tail: int | None = None,
        offset: int | None = None,
        since: datetime | None = None,
        limit_bytes: int | None = None,
        line_filter: LineFilter,
    ) -> LogPage | TaskLogPage:
        """Return the last lines, those from an offset on, or those since a time.

        With `since` and `tail`, the last lines since that time.
        """
        reader = source.reader()
        limit = min(limit_bytes or DEFAULT_BYTES, MAX_PAGE_BYTES)
        if offset is not None:
            page = reader.read_from(offset, limit, line_filter)
        elif since is not None and tail is None:
            page = reader.since(since.timestamp(), limit, line_filter)
        else:
            count = min(DEFAULT_TAIL if tail is None else tail, MAX_PAGE_LINES)
            at = None if since is None else since.timestamp()
            page = reader.tail(count, min(limit_bytes or MAX_PAGE_BYTES, MAX_PAGE_BYTES), line_filter, at)
        if source.task_id is None:
            return page
        lost = self._lost.count(self._attempts.of_task(source.task_id))
        return copy_fields(TaskLogPage, page, task_id=source.task_id, log_lost_bytes=lost)

    def open_download(self, task_id: str, is_inline: bool) -> LogDownload:
        """Return the complete log of a task as one file. Raises TaskNotFound, Unavailable."""
        return open_download(self.find(task_id).content, f"{task_id}.log", is_inline)

    # -- searching -------------------------------------------------------------------------------------------------

    def search(self, source: LogSource, query: LogQuery, offset: int | None) -> SearchResult:
        """Search one log from an offset on. Raises SearchBusy."""
        with self._search(query) as run:
            next_offset = run.search(source, offset or 0)
            return self._result(run, source.task_id, next_offset, None)

    def search_all(self, query: LogQuery, cursor: str | None) -> SearchResult:
        """Search the logs of all tasks that the caller may see, newest first. Raises SearchBusy."""
        with self._search(query) as run:
            return self._result(run, None, None, self._search_tasks(run, cursor))

    def _search_tasks(self, run: SearchRun, cursor: str | None) -> str | None:
        """Return the cursor if the search had to stop, else None.

        The cursor consists of a task's serial number and an offset.
        """
        serial, offset = (int(part) for part in cursor.split(".")) if cursor is not None else (2**62, 0)
        for task_serial, task_id in self._tasks_from(serial):
            try:
                source = self.find(task_id)
            except TaskNotFound:
                continue
            stopped_at = run.search(source, offset if task_serial == serial else 0)
            if stopped_at is not None:
                return f"{task_serial}.{stopped_at}"
            if run.is_late():
                return f"{task_serial - 1}.0"
        return None

    def _tasks_from(self, serial: int) -> Iterator[tuple[int, str]]:
        """Yield serial number and id of each task from this number on, newest first."""
        before, visible = serial + 1, TaskFilter(seen_by=current_scope.get().only_of)
        while True:
            tasks, _ = self._tasks.page(visible, _TASKS_AT_ONCE, None, before)
            for task in tasks:
                yield task.serial, task.task_id
            if len(tasks) < _TASKS_AT_ONCE:
                return
            before = tasks[-1].serial

    @contextmanager
    def _search(self, query: LogQuery) -> Iterator[SearchRun]:
        if not self._searches.acquire(blocking=False):
            raise SearchBusy(headers={"Retry-After": "1"})
        try:
            yield SearchRun.begin(query, self._clock)
        finally:
            self._searches.release()

    def _result(
        self, run: SearchRun, task_id: str | None, next_offset: int | None, next_cursor: str | None
    ) -> SearchResult:
        return SearchResult(
            task_id=task_id,
            query=run.query.pattern.text,
            total_matches=len(run.hits) if run.stopped is None else None,
            results=tuple(run.hits),
            searched_bytes=run.searched_bytes,
            complete=run.stopped is None,
            stopped_because=run.stopped,
            next_offset=next_offset,
            next_cursor=next_cursor,
            elapsed_ms=round(1000 * run.elapsed_seconds, 1),
        )


def _steps_per_epoch(task: TrainingTask) -> int | None:
    """Return the observed steps of an epoch, or the planned ones before the first observation; None if unknown."""
    observed = None if task.progress is None else task.progress.progress.steps_per_epoch
    return observed or task.plan.steps_per_epoch
