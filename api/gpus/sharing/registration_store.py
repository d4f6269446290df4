"""Store registered programs and the holders of GPUs, which are claimed all together or not at all."""

import secrets
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from api.db import leases
from api.db.database import Database
from api.db.rows import dump_fields, read_code, read_fields, to_seconds, to_time
from api.db.tables import attempts, registrations, tasks
from api.db.tables import leases as lease_table
from api.domain.access.audit import note_change
from api.domain.machines.hold import Hold
from api.domain.machines.lease import LeaseKind, LeaseState
from api.domain.reason import Reason, message_of
from api.domain.tasks.task import Keep, ProcessIdentity, RegisteredTask, TaskType
from api.errors import DatabaseUnavailable, GPUBusy, TaskExists, TaskIsTraining, TaskNotFound
from api.gpus.sharing.hold_store import gpu_holds, timed_holds
from api.util.clock import Clock
from api.util.http.base_path import BASE_PATH

#: Seconds before a database that did not answer is queried again.
PAUSE_SECONDS = 1.0

# Built once: every sweep executes them, and building a statement takes as long as executing it.
_OF_NODE = select(registrations).where(registrations.c.node == bindparam("of_node")).order_by(registrations.c.serial)
_ON_GPU = lease_table.c.kind == LeaseKind.GPU
_HELD_BY_PROGRAMS = select(registrations, lease_table.c.resource).join(
    lease_table, (lease_table.c.task_id == registrations.c.task_id) & _ON_GPU
)
_QUARANTINED = select(lease_table).where(lease_table.c.reason.is_not(None) & _ON_GPU)
_SHOWN = ("task_id", "kind", "gpu_uuids", "description", "progress", "updated_at", "serial", "owner")
_HELD_BY_TRAININGS = (
    select(
        *[tasks.c[name] for name in _SHOWN],
        *[lease_table.c[name] for name in ("resource", "state", "claimed_at")],
        *[attempts.c[name] for name in ("pid", "pid_start")],
    )
    .join(lease_table, (lease_table.c.task_id == tasks.c.task_id) & _ON_GPU)
    .join(attempts, attempts.c.uid == lease_table.c.attempt_uid)
)


class Registrations(Protocol):
    """The interface behind the registry: stores which external programs hold which GPUs."""

    @property
    def node(self) -> str:
        """The machine of these GPUs, as the database names it."""
        ...

    #: The pauses and claims of each GPU, by UUID, as read with the holders. Replaced as a whole.
    timed_holds: Mapping[str, Sequence[Hold]]

    def claim(self, task: RegisteredTask) -> RegisteredTask:
        """Record the task as holder of all its GPUs, and assign its serial number.

        Raises GPUBusy or TaskExists, and then changes nothing.
        """
        ...

    def get(self, task_id: str) -> RegisteredTask:
        """Return the task with this id.

        Raises TaskNotFound.
        """
        ...

    def update_progress(
        self, task_id: str, progress: float | Keep | None, estimated_remaining_time: float | Keep | None, now: datetime
    ) -> RegisteredTask:
        """Change the values that are not KEEP, and return the task.

        Raises TaskNotFound.
        """
        ...

    def release(self, task_id: str) -> RegisteredTask:
        """Delete the task and free its GPUs.

        Raises TaskNotFound; TaskIsTraining for a training of this service.
        """
        ...

    def list(self) -> tuple[RegisteredTask, ...]:
        """Return all registered tasks, oldest first."""
        ...

    def holders(self) -> dict[str, RegisteredTask]:
        """Return the holder of each GPU by UUID: registered tasks and trainings.

        Raises DatabaseUnavailable if it was never known.
        """
        ...


class MemoryRegistrations:
    """A fake in memory, under one lock."""

    def __init__(self, node: str = "here") -> None:
        self.node = node
        self._lock = threading.Lock()
        self._tasks: dict[str, RegisteredTask] = {}
        self._holders: dict[str, str] = {}
        self._last_serial = 0
        self.timed_holds: Mapping[str, Sequence[Hold]] = {}

    def claim(self, task: RegisteredTask) -> RegisteredTask:
        with self._lock:
            if task.task_id in self._tasks:
                raise TaskExists(f'A task with the id "{task.task_id}" exists already.', data={"task_id": task.task_id})
            held = {uuid: self._holders[uuid] for uuid in task.gpu_uuids if uuid in self._holders}
            if held:
                raise _busy(held)
            self._last_serial += 1
            task = self._tasks[task.task_id] = replace(task, serial=self._last_serial)
            self._holders.update(dict.fromkeys(task.gpu_uuids, task.task_id))
            return task

    def get(self, task_id: str) -> RegisteredTask:
        with self._lock:
            return self._get(task_id)

    def _get(self, task_id: str) -> RegisteredTask:
        try:
            return self._tasks[task_id]
        except KeyError:
            raise TaskNotFound.named(task_id) from None

    def update_progress(
        self, task_id: str, progress: float | Keep | None, estimated_remaining_time: float | Keep | None, now: datetime
    ) -> RegisteredTask:
        with self._lock:
            task = self._get(task_id)
            remaining = estimated_remaining_time
            task = self._tasks[task_id] = replace(
                task,
                progress=task.progress if progress is Keep.KEEP else progress,
                estimated_remaining_time=task.estimated_remaining_time if remaining is Keep.KEEP else remaining,
                updated_at=now,
            )
            return task

    def release(self, task_id: str) -> RegisteredTask:
        with self._lock:
            task = self._get(task_id)
            del self._tasks[task_id]
            for uuid in task.gpu_uuids:
                del self._holders[uuid]
            return task

    def list(self) -> tuple[RegisteredTask, ...]:
        with self._lock:
            return tuple(self._tasks.values())

    def holders(self) -> dict[str, RegisteredTask]:
        with self._lock:
            return {uuid: self._tasks[task_id] for uuid, task_id in self._holders.items()}


#: The fields of a registered task in the audit.
_AUDITED = ("task_type", "gpu_uuids", "description", "pid", "node", "owner")


class DatabaseRegistrations:
    """Stores registered tasks in the database. Each of their GPUs is a lease, as for trainings."""

    def __init__(self, database: Database, node: str, clock: Clock) -> None:
        """`node` is this machine: only here can the processes of its tasks be checked."""
        self._database = database
        self.node = node
        self._clock = clock
        self._failed_at = float("-inf")
        self._last_holders: dict[str, RegisteredTask] | None = None
        self.timed_holds: Mapping[str, Sequence[Hold]] = {}

    def claim(self, task: RegisteredTask) -> RegisteredTask:
        try:
            with self._database.write() as connection:
                if connection.scalar(select(tasks.c.serial).where(tasks.c.task_id == task.task_id)) is not None:
                    raise _exists(task.task_id)
                row = self._row(task)
                connection.execute(insert(registrations).values(row))
                note_change(about=task.task_id, after={name: row[name] for name in _AUDITED})
                holder = leases.Holder(task.task_id, secrets.token_hex(16))
                leases.claim(connection, ((LeaseKind.GPU, uuid) for uuid in task.gpu_uuids), holder, task.started_at)
        except IntegrityError:
            raise _exists(task.task_id) from None
        except leases.ResourceHeld as error:
            raise _busy(error.held or self._held(task.gpu_uuids)) from None
        return self.get(task.task_id)

    def _row(self, task: RegisteredTask) -> dict[str, Any]:
        process = task.process
        pid, start = (None, None) if process is None else (process.pid, process.start)
        row = dump_fields(task, registrations, pid=pid, pid_start=start, node=self.node)
        del row["serial"]  # the database assigns it
        return row

    def _held(self, uuids: Iterable[str]) -> dict[str, str]:
        with self._database.read() as connection:
            held = {lease.resource: lease.task_id for lease in leases.list_leases(connection, LeaseKind.GPU)}
        return {uuid: held[uuid] for uuid in uuids if uuid in held}

    def get(self, task_id: str) -> RegisteredTask:
        with self._database.read() as connection:
            return _get(connection, task_id)

    def update_progress(
        self, task_id: str, progress: float | Keep | None, estimated_remaining_time: float | Keep | None, now: datetime
    ) -> RegisteredTask:
        values = {"progress": progress, "estimated_remaining_time": estimated_remaining_time}
        values = {name: value for name, value in values.items() if value is not Keep.KEEP}
        with self._database.write() as connection:
            mine = registrations.c.task_id == task_id
            connection.execute(update(registrations).where(mine).values(**values, updated_at=to_seconds(now)))
            return _get(connection, task_id)

    def release(self, task_id: str) -> RegisteredTask:
        with self._database.write() as connection:
            task = _get(connection, task_id)
            if connection.execute(delete(registrations).where(registrations.c.serial == task.serial)).rowcount == 0:
                raise TaskNotFound.named(task_id)
            connection.execute(delete(lease_table).where(lease_table.c.task_id == task_id))
            note_change(
                before={name: getattr(task, name) for name in ("task_type", "gpu_uuids", "description", "owner")}
            )
        return task

    def list(self) -> tuple[RegisteredTask, ...]:
        with self._database.read() as connection:
            return tuple(_read(row) for row in connection.execute(_OF_NODE, {"of_node": self.node}))

    def holders(self) -> dict[str, RegisteredTask]:
        """Return the holder of each GPU by UUID; the last known ones while the database does not answer."""
        # A failing database may take seconds to answer; sweeps do not wait for that each time.
        if self._clock.monotonic() - self._failed_at < PAUSE_SECONDS:
            return self._known()
        try:
            with self._database.read() as connection:
                held = (_held_by_programs(connection), _held_by_trainings(connection), _held_by_orphans(connection))
                holders = {uuid: task for each in held for uuid, task in each.items()}
                _add_holds(holders, gpu_holds(connection))
                self.timed_holds = timed_holds(connection)
        except DatabaseUnavailable:
            self._failed_at = self._clock.monotonic()
            return self._known()
        # Do not return the attribute: another thread may have stored an older value.
        self._last_holders = holders
        return holders

    def _known(self) -> dict[str, RegisteredTask]:
        if self._last_holders is None:
            raise DatabaseUnavailable("The holders of GPUs are unknown: the database has not answered yet.")
        return self._last_holders


def _busy(held: dict[str, str]) -> GPUBusy:
    who = ", ".join(f"{uuid} is held by {task_id}" for uuid, task_id in held.items())
    return GPUBusy(f"{who}." if who else None, data={"held_by": held})


def _exists(task_id: str) -> TaskExists:
    return TaskExists(f'A task with the id "{task_id}" exists already.', data={"task_id": task_id})


def _get(connection: Connection, task_id: str) -> RegisteredTask:
    row = connection.execute(select(registrations).where(registrations.c.task_id == task_id)).one_or_none()
    if row is not None:
        return _read(row)
    if connection.scalar(select(func.count()).select_from(tasks).where(tasks.c.task_id == task_id)):
        raise TaskIsTraining(f"{task_id} is a training of this service: see {BASE_PATH}/training/{task_id}.")
    raise TaskNotFound.named(task_id)


def _read(row: Row[Any]) -> RegisteredTask:
    process = None if row.pid is None else ProcessIdentity(row.pid, row.pid_start)
    return read_fields(RegisteredTask, row, process=process)


def _held_by_programs(connection: Connection) -> dict[str, RegisteredTask]:
    return {row.resource: _read(row) for row in connection.execute(_HELD_BY_PROGRAMS)}


def _held_by_orphans(connection: Connection) -> dict[str, RegisteredTask]:
    """Return the quarantined GPUs, on which an attempt lives that the database does not know."""
    return {
        row.resource: RegisteredTask(
            task_id=row.task_id,
            task_type=TaskType.TRAINING,
            gpu_uuids=(row.resource,),
            started_at=to_time(row.claimed_at),
            quarantine=message_of(row.reason, read_code(row.reason_code)),
        )
        for row in connection.execute(_QUARANTINED)
    }


def _add_holds(holders: dict[str, RegisteredTask], holds: Iterable[Hold]) -> None:
    """Add held GPUs to the holders. The current holder of such a GPU is its last one."""
    for hold in holds:
        uuid = hold.gpu_uuid or ""
        if uuid in holders:
            holders[uuid] = replace(holders[uuid], is_last=True)
        else:
            holders[uuid] = RegisteredTask(
                hold.hold_id,
                TaskType.EXTERNAL,
                (uuid,),
                hold.created_at,
                hold=Reason.of("held back: {why}", "held_back", why=hold.reason),
            )


def _held_by_trainings(connection: Connection) -> dict[str, RegisteredTask]:
    held, known = {}, dict[tuple[int, str, float], RegisteredTask]()
    for row in connection.execute(_HELD_BY_TRAININGS):
        # The GPUs of a training are claimed together and share one task.
        key = (row.serial, row.state, row.claimed_at)
        task = known.get(key)
        if task is None:
            task = known[key] = _read_training(row)
        held[row.resource] = task
    return held


def _read_training(row: Row[Any]) -> RegisteredTask:
    values = (row.progress or {}).get("progress") or {}
    return RegisteredTask(
        task_id=row.task_id,
        task_type=TaskType(row.kind),
        gpu_uuids=tuple(row.gpu_uuids),
        started_at=to_time(row.claimed_at),
        description=row.description,
        owner=row.owner,
        process=None if row.pid is None else ProcessIdentity(row.pid, row.pid_start or 0.0),
        progress=values.get("overall_progress"),
        estimated_remaining_time=values.get("eta_seconds"),
        updated_at=to_time(row.updated_at),
        serial=row.serial,
        has_ended=row.state == LeaseState.DRAINING,
        is_started_here=True,
    )
