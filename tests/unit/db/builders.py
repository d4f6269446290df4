"""Tasks, attempts and leases for tests, and queries of the tables."""

import itertools
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select, text

from api.db.database import Database
from api.db.tables import tasks as task_table
from api.domain.machines.lease import LeaseKind
from api.domain.tasks.cause import Cause, CauseCode
from api.domain.tasks.progress import ProgressReport
from api.domain.tasks.task import ProcessIdentity, TaskType
from api.domain.tasks.training import Attempt, GPURequest, NewTask, StopState, TaskStatus, TrainingPlan, TrainingRequest
from api.training.records.attempt_store import AttemptStore, Finish, NewAttempt
from api.training.records.task_store import TaskStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NODE = "node-a"
ROOT = Path("/data")
PROCESS = ProcessIdentity(4711, 12.5)
HANG = Cause(CauseCode.HANG, "It hung.", "Read the last lines.", ("a", "b"))

_numbers = itertools.count(1)


def later(seconds: float) -> datetime:
    """Return the time so many seconds after NOW."""
    return NOW + timedelta(seconds=seconds)


def new_task(
    task_id: str = "t1",
    key: str | None = None,
    caches: tuple[str, ...] = (),
    owner: str | None = None,
    kind: TaskType = TaskType.TRAINING,
    **request: Any,
) -> NewTask:
    """Return a task of the model type toy."""
    training_request = TrainingRequest(**{"model_type": "toy", "gpus": GPURequest(count=1), **request})
    plan = TrainingPlan("toy", training_request.model_type, training_request.gpu_count, caches=caches)
    return NewTask(task_id, "toy", training_request, plan, idempotency_key=key, owner=owner, kind=kind)


def new_attempt(task_id: str = "t1", *gpus: int, **more: Any) -> NewAttempt:
    """Return an attempt on GPUs by index (by default GPU 0), with its own port and token."""
    gpus = gpus or (0,)
    number = next(_numbers)
    values: dict[str, Any] = {
        "token": f"token-{number}",
        "node": NODE,
        "caches": (),
        "master_port": 20_000 + number,
        "directory_of": f"/data/{task_id}/attempts",
        "known_run_dirs": (),
        "run_dir": None,
        "resumed_from": None,
        "expires_at": later(60),
        **more,
    }
    return NewAttempt(task_id=task_id, gpu_uuids=tuple(f"GPU-{gpu}" for gpu in gpus), gpu_indices=gpus, **values)


def a_stop(actor: str = "ann", *, force: bool = False, cause: Cause | None = None) -> StopState:
    """Return a stop requested now."""
    return StopState(NOW, actor, force, 30.0, cause=cause)


class Stores:
    """Both stores of a database, and tasks brought into a status by regular transitions."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.tasks = TaskStore(database)
        self.attempts = AttemptStore(database)

    def claimed(self, task_id: str = "t1", *gpus: int, **more: Any) -> Attempt:
        """Create a task and claim its GPUs."""
        self.tasks.create(new_task(task_id), NOW, "ann")
        return self.attempts.claim(new_attempt(task_id, *gpus, **more), NOW)

    def running(self, task_id: str = "t1", *gpus: int, **more: Any) -> Attempt:
        """Create a task whose process runs."""
        attempt = self.claimed(task_id, *gpus, **more)
        self.attempts.mark_submitted(attempt)
        self.attempts.mark_running(attempt, ProcessIdentity(4711, 5.0), NOW)
        return attempt

    def stopping(self, task_id: str = "t1", *gpus: int) -> Attempt:
        """Create a task that was stopped while its process ran."""
        attempt = self.running(task_id, *gpus)
        self.tasks.request_stop(task_id, a_stop(), NOW, "asked to stop")
        return attempt

    def finish(self, attempt: Attempt, status: TaskStatus, **more: Any) -> bool:
        """End an attempt."""
        return self.attempts.finish(attempt, Finish(status, f"it is {status} now", **more), NOW)

    def in_status(self, status: TaskStatus, task_id: str = "t1") -> Attempt | None:
        """Create a task in a status; return its attempt, if it has one."""
        match status:
            case TaskStatus.QUEUED:
                self.tasks.create(new_task(task_id), NOW, "ann")
                return None
            case TaskStatus.STARTING:
                return self.claimed(task_id)
            case TaskStatus.RUNNING:
                return self.running(task_id)
            case TaskStatus.STOPPING:
                return self.stopping(task_id)
        attempt = self.stopping(task_id) if status is TaskStatus.STOPPED else self.running(task_id)
        self.finish(attempt, status)
        return attempt

    def status(self, task_id: str = "t1") -> TaskStatus:
        """Return the stored status."""
        with self.database.read() as connection:
            row = connection.execute(select(task_table.c.status).where(task_table.c.task_id == task_id)).one()
        return TaskStatus(row.status)

    def held(self, kind: LeaseKind | None = None) -> dict[str, str]:
        """Return the holders of leases, by resource."""
        return {lease.resource: lease.task_id for lease in self.attempts.leases(kind)}


def beside(database: Database, first: Callable[[Connection], object], second: Callable[[], object]) -> Future[object]:
    """Run `second` while the change of `first` is not committed. For PostgreSQL: SQLite has one writer."""
    with ThreadPoolExecutor(1) as pool:
        with database.write() as connection:
            first(connection)
            other = pool.submit(second)
            until = time.monotonic() + 3
            while not _is_lock_awaited(database) and time.monotonic() < until:
                time.sleep(0.01)
        other.exception()
    return other


def _is_lock_awaited(database: Database) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with database.read() as connection:
        return bool(connection.scalar(text(query)))


def at_step(step: int) -> ProgressReport:
    """Return progress with only a step."""
    return ProgressReport.from_json({"progress": {"current_step": step}})
