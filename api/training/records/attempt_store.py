"""Attempts: claimed with their GPUs in one transaction, renewed while they run, finished once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from sqlalchemy import Connection, String, bindparam, delete, exists, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from api.db import leases
from api.db.database import Database
from api.db.leases import ResourceHeld
from api.db.rows import dump, read_attempt, read_lease, to_seconds, to_time
from api.db.tables import attempts, task_gpus, tasks
from api.db.tables import events as event_table
from api.db.tables import leases as lease_table
from api.db.task_rows import SUMMARY_COLUMNS, read_summary
from api.domain.access.audit import forget_change
from api.domain.machines.lease import Lease, LeaseKind, LeaseState
from api.domain.reason import Reason, ReasonOrText
from api.domain.tasks.cause import MADE_ROOM, Cause
from api.domain.tasks.measured_memory import MemoryRun
from api.domain.tasks.progress import ProgressReport
from api.domain.tasks.task import ProcessIdentity, TaskType
from api.domain.tasks.training import Attempt, AttemptStatus, NewTask, StopRung, TaskStatus, TaskSummary, TrainingTask
from api.errors import NodeDrained
from api.executors.executor import AttemptRef
from api.files.task_files import task_files
from api.nodes.fleet_store import is_drained
from api.training.measured_memory import store_memory_run
from api.training.records.status_changes import attempt_uid, move, start
from api.training.records.task_queries import OF_TASK, find_summary, find_task
from api.training.records.task_store import TaskStore, insert_task
from api.training.records.usage_store import Bound, lock_owner, require_gpus

#: Stops from which the duration of the next one is estimated, and trainings among which they are looked for.
_STOPS_AT_MOST, _ALIKE_AT_MOST = 9, 50

_BEGIN = insert(attempts)
_OF_TASK = select(attempts).where(attempts.c.task_id == bindparam("task_id")).order_by(attempts.c.number)
_HAD = select(task_gpus.c.gpu_uuid).where(task_gpus.c.serial == bindparam("serial"))
#: `returning` makes SQLAlchemy use one statement for all rows.
_HAVE = insert(task_gpus).returning(task_gpus.c.serial)
#: Runs twice per second. Building it takes as long as executing it.
_HAS_WORK = select(
    exists().where(tasks.c.status == TaskStatus.QUEUED)
    | exists().where(attempts.c.status != AttemptStatus.ENDED)
    | exists().where(lease_table.c.attempt_uid.is_not(None))
)
_ONE = select(attempts).where(attempts.c.uid == bindparam("uid"))
_MINE = (attempts.c.uid == bindparam("of_attempt")) & (attempts.c.token == bindparam("of_token"))
_IS_OPEN = attempts.c.status != AttemptStatus.ENDED
_CHANGE = update(attempts).where(_MINE, _IS_OPEN)
_IS_NEW = or_(attempts.c.status == AttemptStatus.CLAIMED, attempts.c.status == AttemptStatus.SUBMITTED)
_SUBMIT = update(attempts).where(_MINE, _IS_NEW).values(status=AttemptStatus.SUBMITTED)
_RUN = update(attempts).where(attempts.c.uid == bindparam("of_attempt"), attempts.c.status == AttemptStatus.SUBMITTED)
_STATUS = select(tasks.c.status, tasks.c.started_at).where(OF_TASK).with_for_update()
_STOP = select(tasks.c.status, tasks.c.stop).where(OF_TASK).with_for_update()
_STORE_PROGRESS = (
    update(tasks)
    .where(OF_TASK, or_(*[tasks.c.status == status for status in TaskStatus if status.is_active]))
    .values(progress=bindparam("latest", type_=tasks.c.progress.type), updated_at=bindparam("now"))
)
_EVENT = event_table.c
#: Stops with a checkpoint, from the request to the end of the attempt, newest first.
_STOPS = (
    select((attempts.c.ended_at - _EVENT.at).label("seconds"))
    .join(event_table, (_EVENT.task_id == attempts.c.task_id) & (_EVENT.current == TaskStatus.STOPPING))
    .where(
        _EVENT.at.between(attempts.c.created_at, attempts.c.ended_at),
        attempts.c.outcome["stop_rung"].as_string() == StopRung.CHECKPOINT,
    )
    .order_by(attempts.c.ended_at.desc())
    .limit(_STOPS_AT_MOST)
)
_STOPS_OF_TASK = _STOPS.where(attempts.c.task_id == bindparam("of_task"))
_ALIKE = (
    select(tasks.c.task_id)
    .where(
        tasks.c.model_type == bindparam("model_type"),
        tasks.c.gpu_count == bindparam("gpus"),
        tasks.c.kind == TaskType.TRAINING,
    )
    .order_by(tasks.c.serial.desc())
    .limit(_ALIKE_AT_MOST)
)
_STOPS_ALIKE = _STOPS.where(attempts.c.task_id.in_(_ALIKE))
# Built once: they run twice per second, and building a statement takes as long as executing it.
_NODE = bindparam("of_node", type_=String)
_IS_OF = or_(_NODE == "", attempts.c.node == _NODE) & attempts.c.directory.like(bindparam("of_root"), escape="/")
_OPEN = select(attempts).where(_IS_OPEN, _IS_OF).order_by(attempts.c.created_at)
_OPEN_ELSEWHERE = select(attempts).where(_IS_OPEN, ~_IS_OF).order_by(attempts.c.created_at)
_TASKS = select(*SUMMARY_COLUMNS).where(tasks.c.task_id.in_(select(attempts.c.task_id).where(_IS_OPEN, _IS_OF)))
_DRAINING = (
    select(lease_table, attempts.c.directory)
    .join(attempts, attempts.c.uid == lease_table.c.attempt_uid)
    .where(lease_table.c.kind == LeaseKind.GPU, lease_table.c.state == LeaseState.DRAINING, _IS_OF)
    .order_by(lease_table.c.resource)
)
_HELD_PORTS = select(lease_table.c.resource).where(lease_table.c.kind == LeaseKind.PORT)


class DrainingGPU(NamedTuple):
    """A GPU whose holder has ended but may still be using it, with the attempt's directory."""

    lease: Lease
    directory: Path


class Round(NamedTuple):
    """Open attempts, oldest first, with their tasks by id, and draining GPUs."""

    attempts: list[Attempt]
    tasks: dict[str, TaskSummary]
    drains: list[DrainingGPU]


@dataclass(frozen=True, slots=True)
class NewAttempt:
    """The values of a new attempt."""

    task_id: str
    token: str
    node: str
    gpu_uuids: tuple[str, ...]
    gpu_indices: tuple[int, ...]
    caches: tuple[str, ...]
    master_port: int | None  #: None: it needs no port
    directory_of: str  #: the directory of the task's attempts; each has a subdirectory named by its number
    known_run_dirs: tuple[str, ...]
    run_dir: str | None  #: the run directory to resume; None starts from scratch
    resumed_from: str | None  #: the checkpoint in it
    expires_at: datetime
    is_fleet: bool = False  #: whether there are several nodes, so that the event names the node of each GPU


@dataclass(frozen=True, slots=True)
class Finish:
    """How an attempt ended, and the next status of its task: final, or QUEUED for a retry."""

    status: TaskStatus
    message: ReasonOrText
    actor: str = "supervisor"
    cause: Cause | None = None
    outcome: Mapping[str, Any] | None = None
    progress: ProgressReport | None = None
    first_step: int | None = None
    last_step: int | None = None
    run_dir: str | None = None
    peak_memory_mb: int | None = None
    memory: MemoryRun | None = None  #: its measured memory
    retry_in: timedelta | None = None  #: time until the retry, for QUEUED
    retry_counts: bool = False  #: whether it uses up one of max_retries
    retries_in_a_row: int = 0  #: retries since one made progress
    resume: Mapping[str, Any] | None = None
    result: Mapping[str, Any] | None = None  #: the task's result


class AttemptStore:
    """Attempts and leases in the database."""

    def __init__(self, database: Database, *kinds: TaskType) -> None:
        """Create the store. With kinds, it only finds tasks of these kinds."""
        self._database = database
        self._kinds = frozenset(kinds) or None

    def claim(self, new: NewAttempt, now: datetime, bound: Bound | None = None) -> Attempt:
        """Claim GPUs, port and caches for a queued task and create an attempt. `bound` limits its owner's GPUs.

        Raise ResourceHeld or Conflict if another claim was faster, OverQuota or NodeDrained. Nothing has changed then.
        """
        with self._database.write() as connection:
            lock_owner(connection, bound)
            return _claim(connection, new, now, bound)

    def create_and_claim(
        self, task: NewTask, new: NewAttempt, now: datetime, actor: str, bound: Bound | None = None
    ) -> Attempt | None:
        """Create a task that does not wait, together with its GPUs. `bound` is as in `claim`.

        Raise ResourceHeld, OverQuota or NodeDrained. Return None if a task with the same idempotency key exists.
        """
        try:
            with self._database.write() as connection:
                lock_owner(connection, bound)
                insert_task(connection, task, now, actor)
                return _claim(connection, new, now, bound)
        except IntegrityError:
            forget_change()
            return None

    def get(self, uid: str) -> Attempt:
        """Return an existing attempt."""
        with self._database.read() as connection:
            return _get(connection, uid)

    def of_task(self, task_id: str) -> list[Attempt]:
        """Return the attempts of a task, oldest first."""
        with self._database.read() as connection:
            return _of_task(connection, task_id)

    def with_task(self, task_id: str) -> tuple[TrainingTask, list[Attempt]]:
        """Return a task with its request and plan, and its attempts, from one snapshot. Raise TaskNotFound."""
        with self._database.read() as connection:
            return find_task(connection, task_id, self._kinds), _of_task(connection, task_id)

    def with_summary(self, task_id: str) -> tuple[TaskSummary, list[Attempt]]:
        """Return a task without its request and plan, and its attempts, from one snapshot. Raise TaskNotFound."""
        with self._database.read() as connection:
            return find_summary(connection, task_id, self._kinds), _of_task(connection, task_id)

    def open(self, node: str | None, root: Path) -> list[Attempt]:
        """Return the open attempts of this node, or of all nodes, below this directory."""
        with self._database.read() as connection:
            return [read_attempt(row) for row in connection.execute(_OPEN, _of(node, root))]

    def round(self, node: str | None, root: Path) -> Round:
        """Return those attempts with their tasks, and draining GPUs, from one snapshot."""
        parameters = _of(node, root)
        with self._database.read() as connection:
            found = [read_attempt(row) for row in connection.execute(_OPEN, parameters)]
            rows = connection.execute(_TASKS, parameters) if found else ()
            return Round(found, {row.task_id: read_summary(row) for row in rows}, _read_drains(connection, parameters))

    def open_elsewhere(self, node: str | None, root: Path) -> list[Attempt]:
        """Return the open attempts of other nodes and directories."""
        with self._database.read() as connection:
            return [read_attempt(row) for row in connection.execute(_OPEN_ELSEWHERE, _of(node, root))]

    def has_work(self) -> bool:
        """Return whether the training loop has work: a queued task, an open attempt or a draining lease."""
        with self._database.read() as connection:
            return bool(connection.scalar(_HAS_WORK))

    def stop_seconds(self, task: TaskSummary) -> float | None:
        """Return how long a stop with a checkpoint will take: the median of earlier ones, or None if there are none.

        Those of the task count, or else those of trainings of its model type on as many GPUs.
        """
        with self._database.read() as connection:
            found = list(connection.scalars(_STOPS_OF_TASK, {"of_task": task.task_id}))
            if not found:
                alike = {"model_type": task.model_type, "gpus": task.gpu_count}
                found = list(connection.scalars(_STOPS_ALIKE, alike))
        return round(median(found), 1) if found else None

    def mark_submitted(self, attempt: Attempt) -> bool:
        """Record that the supervisor is about to start. Return False if the attempt has ended."""
        with self._database.write() as connection:
            return connection.execute(_SUBMIT, _mine(attempt)).rowcount == 1

    def mark_running(self, attempt: Attempt, process: ProcessIdentity | None, now: datetime) -> None:
        """Record that the process runs. The task is then running, unless it is stopping."""
        seconds = to_seconds(now)
        pid, start = (None, None) if process is None else (process.pid, process.start)
        values = {"status": AttemptStatus.RUNNING, "started_at": seconds, "pid": pid, "pid_start": start}
        with self._database.write() as connection:
            if connection.execute(_RUN, {"of_attempt": attempt.uid, **values}).rowcount == 0:
                return
            task = connection.execute(_STATUS, {"of_task": attempt.task_id}).one_or_none()
            if task is None or task.status != TaskStatus.STARTING:
                return
            message = Reason.of("its process is running with pid {pid}", "process_runs", pid=pid)
            if pid is None:
                message = Reason.of("its process is running", "runs")
            move(
                connection,
                attempt.task_id,
                TaskStatus.RUNNING,
                now,
                "supervisor",
                message,
                previous=task.status,
                attempt_uid=attempt.uid,
                started_at=seconds if task.started_at is None else task.started_at,
            )

    def record(self, attempt: Attempt, **values: Any) -> None:
        """Record facts about an open attempt: run_dir, first_step, last_step, peak_memory_mb."""
        with self._database.write() as connection:
            connection.execute(_CHANGE, {**_mine(attempt), **values})

    def save_progress(self, progress: Mapping[str, ProgressReport], now: datetime) -> None:
        """Store the latest progress of running tasks, by task id."""
        if not progress:
            return
        rows = [
            {"of_task": task_id, "latest": latest.as_json(), "now": to_seconds(now)}
            for task_id, latest in progress.items()
        ]
        with self._database.write() as connection:
            connection.execute(_STORE_PROGRESS, rows)

    def finish(self, attempt: Attempt, finish: Finish, now: datetime) -> bool:
        """End an attempt and move its task. Its GPUs start draining. Return False if it had already ended."""
        seconds = to_seconds(now)
        with self._database.write() as connection:
            values: dict[str, Any] = {
                "status": AttemptStatus.ENDED,
                "ended_at": seconds,
                "outcome": None if finish.outcome is None else dict(finish.outcome),
                "cause": dump(finish.cause),
            }
            for name in ("run_dir", "first_step", "last_step", "peak_memory_mb"):
                # Values recorded while it ran remain unless there are newer ones.
                if getattr(finish, name) is not None:
                    values[name] = getattr(finish, name)
            if connection.execute(_CHANGE, {**_mine(attempt), **values}).rowcount == 0:
                return False
            task = connection.execute(_STOP, {"of_task": attempt.task_id}).one()
            finish = _apply_stop(task.stop, finish)
            move(
                connection,
                attempt.task_id,
                finish.status,
                now,
                finish.actor,
                finish.message,
                previous=task.status,
                attempt_uid=attempt.uid,
                **_task_values(finish, now),
            )
            leases.drain(connection, attempt.token, now)
            if finish.memory is not None:
                store_memory_run(connection, attempt.uid, finish.memory, seconds)
        return True

    # -- leases ----------------------------------------------------------------------------------------------------

    def leases(self, kind: LeaseKind | None = None) -> list[Lease]:
        """Return every lease, or those of one kind."""
        with self._database.read() as connection:
            return leases.list_leases(connection, kind)

    def draining(self, node: str | None, root: Path) -> list[DrainingGPU]:
        """Return the draining GPUs of this node, or of all nodes, whose attempts are below this directory."""
        with self._database.read() as connection:
            return _read_drains(connection, _of(node, root))

    def renew(self, open_attempts: Sequence[Attempt], expires_at: datetime, now: datetime) -> list[Lease]:
        """Extend the leases of these attempts. Release expired leases without an open attempt, and return them."""
        with self._database.write() as connection:
            if open_attempts:
                leases.renew(connection, [attempt.token for attempt in open_attempts], expires_at)
            return leases.release_expired(connection, now)

    def release_cache(self, attempt: Attempt) -> bool:
        """Release the caches that this attempt has completed, so that other tasks can write.

        Return False if it held none.
        """
        with self._database.write() as connection:
            return leases.release(connection, attempt.token, LeaseKind.CACHE) > 0

    def release_drained(self, lease: Lease) -> bool:
        """Free a draining GPU. Return False if it was already free."""
        with self._database.write() as connection:
            return leases.release_drained(connection, lease.token, lease.resource)

    def held_ports(self) -> set[int]:
        """Return the master ports in use."""
        with self._database.read() as connection:
            return {int(resource.rpartition(":")[2]) for resource in connection.scalars(_HELD_PORTS)}


@dataclass(frozen=True, slots=True)
class ObservedAttempts:
    """The attempts of a machine and a storage, which one server observes."""

    store: AttemptStore
    node: str | None  #: the machine; None: all, since every server observes a cluster
    root: Path  #: the storage

    def round(self) -> Round:
        """Return the open ones with their tasks, and the draining GPUs, from one snapshot."""
        return self.store.round(self.node, self.root)

    def draining(self) -> list[DrainingGPU]:
        """Return the draining GPUs."""
        return self.store.draining(self.node, self.root)

    def elsewhere(self) -> list[Attempt]:
        """Return the open attempts of other machines and storages."""
        return self.store.open_elsewhere(self.node, self.root)

    def ref(self, attempt: Attempt) -> AttemptRef:
        """Return the executor's reference to an attempt."""
        return AttemptRef(attempt.uid, Path(attempt.directory), task_files(self.root, attempt.task_id).log)


@dataclass(frozen=True, slots=True)
class TaskStores:
    """The stores of tasks and of their attempts."""

    tasks: TaskStore
    attempts: AttemptStore

    @classmethod
    def of(cls, database: Database, *kinds: TaskType) -> "TaskStores":
        """Return the stores of a database. With kinds, they only find tasks of these kinds."""
        return cls(TaskStore(database, *kinds), AttemptStore(database, *kinds))


def _read_drains(connection: Connection, parameters: dict[str, str]) -> list[DrainingGPU]:
    return [DrainingGPU(read_lease(row), Path(row.directory)) for row in connection.execute(_DRAINING, parameters)]


def _of(node: str | None, root: Path) -> dict[str, str]:
    """Return the parameters of _IS_OF. An empty node stands for all nodes."""
    below = f"{root}/".replace("/", "//").replace("%", "/%").replace("_", "/_")
    return {"of_node": node or "", "of_root": f"{below}%"}


def _of_task(connection: Connection, task_id: str) -> list[Attempt]:
    return [read_attempt(row) for row in connection.execute(_OF_TASK, {"task_id": task_id})]


def _get(connection: Connection, uid: str) -> Attempt:
    return read_attempt(connection.execute(_ONE, {"uid": uid}).one())


def _mine(attempt: Attempt) -> dict[str, str]:
    """Return the parameters of _MINE."""
    return {"of_attempt": attempt.uid, "of_token": attempt.token}


def _claim(connection: Connection, new: NewAttempt, now: datetime, bound: Bound | None) -> Attempt:
    require_gpus(connection, bound, len(new.gpu_uuids))
    if is_drained(connection, new.node):
        raise NodeDrained(f"No new tasks start on {new.node} because it is drained.")
    serial, number = start(connection, new.task_id, new.gpu_uuids, now, _start_message(new))
    uid = attempt_uid(new.task_id, number)
    leases.claim(connection, _resources(new), leases.Holder(new.task_id, new.token, uid, new.expires_at), now)
    row = _row(new, uid, number, now)
    connection.execute(_BEGIN, row)
    # Only a retry can have some already.
    had = set(connection.scalars(_HAD, {"serial": serial})) if number > 1 else ()
    fresh = [{"gpu_uuid": uuid, "serial": serial} for uuid in new.gpu_uuids if uuid not in had]
    if fresh:
        connection.execute(_HAVE, fresh)
    lists = {name: tuple(row[name]) for name in ("gpu_uuids", "gpu_indices", "known_run_dirs")}
    return Attempt(**{**row, "created_at": to_time(row["created_at"]), **lists})


def _start_message(new: NewAttempt) -> Reason:
    if not new.gpu_uuids:
        return Reason.of("starts; it needs no GPU", "begins_without_gpu")
    prefix = f"{new.node}:" if new.is_fleet else ""
    return Reason.of("assigned {gpus}", "got_gpus", gpus=", ".join(f"GPU {prefix}{index}" for index in new.gpu_indices))


def _resources(new: NewAttempt) -> Iterable[tuple[LeaseKind, str]]:
    yield from ((LeaseKind.GPU, uuid) for uuid in new.gpu_uuids)
    yield from ((LeaseKind.CACHE, cache) for cache in new.caches)
    if new.master_port is not None:
        yield LeaseKind.PORT, f"port:{new.node}:{new.master_port}"


def _row(new: NewAttempt, uid: str, number: int, now: datetime) -> dict[str, Any]:
    return {
        "uid": uid,
        "task_id": new.task_id,
        "number": number,
        "status": AttemptStatus.CLAIMED,
        "token": new.token,
        "node": new.node,
        "directory": f"{new.directory_of}/{number}",
        "gpu_uuids": list(new.gpu_uuids),
        "gpu_indices": list(new.gpu_indices),
        "master_port": new.master_port,
        "created_at": to_seconds(now),
        "known_run_dirs": list(new.known_run_dirs),
        "run_dir": new.run_dir,
        "resumed_from": new.resumed_from,
    }


def _apply_stop(stop: Mapping[str, Any] | None, finish: Finish) -> Finish:
    """Return the finish, without a retry if a user has requested a stop in the meantime."""
    if finish.status is not TaskStatus.QUEUED or stop is None or stop["cause"] is not None:
        return finish
    ended = Reason.of("it ended by itself after a stop was requested", "ended_by_itself")
    return replace(finish, status=TaskStatus.STOPPED, message=ended, cause=None)


def _task_values(finish: Finish, now: datetime) -> dict[str, Any]:
    values: dict[str, Any] = {"warning": None, "warning_code": None}
    if finish.progress is not None:
        values["progress"] = finish.progress.as_json()
    if finish.status is not TaskStatus.QUEUED:
        result = None if finish.result is None else dict(finish.result)
        return {**values, "cause": dump(finish.cause), "finished_at": to_seconds(now), "result": result}
    wait = finish.retry_in or timedelta(0)
    counted = {"retries": tasks.c.retries + 1} if finish.retry_counts else {}
    return {
        **values,
        **counted,
        "retries_in_a_row": finish.retries_in_a_row,
        "not_before": to_seconds(now + wait),
        "resume": None if finish.resume is None else dict(finish.resume),
        # Making room is no failure of the task.
        "cause": None if finish.cause is None or finish.cause.code in MADE_ROOM else dump(finish.cause),
        "stop": None,  # it applied to the attempt that has ended
    }


class AttemptLocations:
    """Stores the nodes and GPUs of attempts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, attempt: Attempt, node: str, uuids: Sequence[str], indices: Sequence[int], now: datetime) -> bool:
        """Record that an open attempt has exactly these GPUs.

        Another attempt that claimed one of them gets one of this attempt's GPUs in exchange. Return False if the
        attempt has ended, or another holder has one of the GPUs.
        """
        try:
            return self._record(attempt, node, uuids, indices, now)
        except ResourceHeld:
            return False

    def _record(self, attempt: Attempt, node: str, uuids: Sequence[str], indices: Sequence[int], now: datetime) -> bool:
        with self._database.write() as connection:
            mine = (attempts.c.uid == attempt.uid) & (attempts.c.status != AttemptStatus.ENDED)
            values = {"node": node, "gpu_uuids": list(uuids), "gpu_indices": list(indices)}
            if connection.execute(update(attempts).where(mine).values(values)).rowcount == 0:
                return False
            _hold(connection, attempt, frozenset(uuids), now)
            serial = connection.scalar(select(tasks.c.serial).where(tasks.c.task_id == attempt.task_id))
            had = set(connection.scalars(select(task_gpus.c.gpu_uuid).where(task_gpus.c.serial == serial)))
            fresh = [{"gpu_uuid": uuid, "serial": serial} for uuid in uuids if uuid not in had]
            if fresh:
                connection.execute(insert(task_gpus), fresh)
        return True


def _hold(connection: Connection, attempt: Attempt, uuids: frozenset[str], now: datetime) -> None:
    """Make the attempt hold these GPUs. Raise ResourceHeld if a holder other than an attempt has one."""
    own = (lease_table.c.token == attempt.token) & (lease_table.c.kind == LeaseKind.GPU)
    rows = connection.execute(select(lease_table).where(own)).all()
    held = {row.resource for row in rows}
    spare = sorted(held - uuids)
    connection.execute(delete(lease_table).where(own & lease_table.c.resource.in_(spare)))
    missing = sorted(uuids - held)
    others = connection.execute(select(lease_table).where(lease_table.c.resource.in_(missing))).all()
    for other in others:
        if other.attempt_uid is None:
            raise ResourceHeld({other.resource: other.task_id})
        is_it = (lease_table.c.resource == other.resource) & (lease_table.c.token == other.token)
        connection.execute(delete(lease_table).where(is_it))
        if other.state == LeaseState.HELD and spare:
            _exchange(connection, other.attempt_uid, other.resource, spare[0])
            row = {column.name: getattr(other, column.name) for column in lease_table.c} | {"resource": spare.pop(0)}
            connection.execute(insert(lease_table), row)
    expires_at = next((row.expires_at for row in rows), None)
    holder = leases.Holder(attempt.task_id, attempt.token, attempt.uid)
    leases.claim(connection, ((LeaseKind.GPU, uuid) for uuid in missing), holder, now)
    fresh = own & lease_table.c.resource.in_(missing)
    values = {"expires_at": expires_at, "claimed_at": to_seconds(now)}
    connection.execute(update(lease_table).where(fresh).values(values))


def _exchange(connection: Connection, uid: str, taken: str, given: str) -> None:
    """Replace one GPU by another in the record of an attempt, until its real GPUs are known."""
    row = connection.execute(select(attempts.c.gpu_uuids).where(attempts.c.uid == uid)).one()
    uuids = [given if uuid == taken else uuid for uuid in row.gpu_uuids]
    connection.execute(update(attempts).where(attempts.c.uid == uid).values(gpu_uuids=uuids))
