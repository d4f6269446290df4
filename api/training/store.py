"""Tasks: created, found, listed and moved between statuses by guarded statements."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import (
    Connection,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from api.db.database import Database
from api.db.dataset_tables import dataset_pins
from api.db.rows import dump, dump_message, read_task, to_seconds
from api.db.tables import attempts, leases, task_gpus, task_roll, tasks
from api.db.tables import events as event_table
from api.domain.audit import forget_change, note_change
from api.domain.cluster_options import ClusterOptions
from api.domain.reason import Reason, ReasonOrText
from api.domain.running_tasks import RunningTasks
from api.domain.task import TaskType
from api.domain.training import (
    Attempt,
    EventKind,
    NewTask,
    ResumeOptions,
    StopState,
    TaskEvent,
    TaskFilter,
    TaskOrder,
    TaskStatus,
    TaskSummary,
    TrainingPlan,
    TrainingRequest,
    TrainingTask,
)
from api.errors import TaskActive, TaskNotFinished, TaskNotFound
from api.training import event_store as events
from api.training.dataset_caches import require_single, require_unused
from api.training.dataset_pins import pin_datasets
from api.training.moves import move
from api.training.queue_rows import (
    Queue,
    TaskName,
    join_queue,
    read_addresses,
    read_names,
    read_queue,
    read_running_tasks,
)
from api.training.stop_store import record_stop_step, request_task_stop
from api.training.task_counts import count_statuses
from api.training.task_pages import find_by_serial, read_page, read_served
from api.training.task_rows import ENROLL, OF_TASK, find_summary, find_task, is_of
from api.training.usage_store import Bound, lock_owner, require_queue_limit, store_past_use

_CLUSTER_OPTIONS = TypeAdapter(ClusterOptions)

#: Number of completed trainings from which the pace of new ones is estimated.
_PACE_ROWS = 200

_CHANGES = {
    "name": lambda value: Reason.of("name is now {value}", "name_is_now", value=repr(value)),
    "description": lambda value: Reason.of("description is now {value}", "description_is_now", value=repr(value)),
    "priority": lambda value: Reason.of("priority is now {value}", "priority_is_now", value=value),
}


#: Columns of a deleted task that the audit stores.
_AUDITED = [
    tasks.c[name] for name in ("status", "model_type", "name", "description", "priority", "owner", "created_at")
]

# Built once: building a statement takes longer than executing it.
_CHANGEABLE = select(tasks.c.kind, *[tasks.c[name] for name in _CHANGES]).where(OF_TASK).with_for_update()
_CHANGE = update(tasks).where(OF_TASK).returning(tasks)
_SET = update(tasks).where(OF_TASK)
_LOCK = select(tasks.c.serial).where(OF_TASK).with_for_update()
_INSERT = insert(tasks)
_HAS_KEY = tasks.c.idempotency_key == bindparam("key")
_OF_KEY = select(tasks).where(_HAS_KEY)
_FORGET_KEY = update(tasks).where(_HAS_KEY, tasks.c.created_at < bindparam("before")).values(idempotency_key=None)
_QUEUED_STEPS = select(tasks.c.task_id, tasks.c.plan["total_steps"].as_integer().label("steps")).where(
    tasks.c.status == TaskStatus.QUEUED
)
_PACES = (
    select(tasks.c.model_type, tasks.c.gpu_count, tasks.c.progress["speed"]["time_per_step"].as_float().label("pace"))
    .where(tasks.c.status == TaskStatus.COMPLETED)
    .order_by(tasks.c.serial.desc())
    .limit(_PACE_ROWS)
)


def insert_task(connection: Connection, new: NewTask, now: datetime, actor: str) -> None:
    """Insert a new queued task. Raise IntegrityError if its id or idempotency key exists."""
    request, seconds = new.request, to_seconds(now)
    if new.idempotency_key is not None and new.keys_since is not None:
        # An expired key may be used again.
        connection.execute(_FORGET_KEY, {"key": new.idempotency_key, "before": to_seconds(new.keys_since)})
    row = {
        "task_id": new.task_id,
        "status": TaskStatus.QUEUED,
        "model_type": request.model_type,
        "trainer": new.trainer,
        "name": request.name,
        "description": request.description,
        "priority": request.priority,
        **_gpu_columns(request),
        "caches": list(new.plan.caches),
        **dict.fromkeys(("created_at", "updated_at"), seconds),
        "queued_at": join_queue(connection, now),
        **dict.fromkeys(("not_before", "attempts", "retries", "retries_in_a_row"), 0),
        "restarted_from": new.restarted_from,
        "idempotency_key": new.idempotency_key,
        "owner": new.owner,
        "kind": new.kind,
        "gpu_uuids": [],
        "request": dump(request),
        "plan": dump(new.plan),
    }
    connection.execute(_INSERT, row)
    connection.execute(ENROLL, {"of_task": new.task_id})
    pin_datasets(connection, new.task_id, new.plan.datasets)
    require_single(connection, new)
    note_change(
        about=new.task_id,
        before=None if new.restarted_from is None else {"restarted_from": new.restarted_from},
        after={"trainer": new.trainer, "owner": new.owner, "request": row["request"]},
    )
    message = Reason.of("queued", "queued")
    if new.restarted_from is not None:
        message = Reason.of("queued as a restart of {task_id}", "queued_anew", task_id=new.restarted_from)
    events.append(connection, new.task_id, now, EventKind.STATUS, actor, message, current=TaskStatus.QUEUED)


def _gpu_columns(request: TrainingRequest) -> dict[str, Any]:
    return {
        "gpu_count": request.gpu_count,
        "min_memory": request.gpus.min_memory,
        "gpu_references": list(request.gpus.references),
    }


class TaskStore:
    """Tasks in the database."""

    def __init__(self, database: Database, kind: TaskType | None = None, *beside: TaskType) -> None:
        """Create the store.

        With a kind, it finds, lists and changes only tasks of that kind, but returns queued and running tasks of all
        kinds. Tasks of the kinds `beside` can also be found and changed, and listed on request.
        """
        self._database = database
        self._kind = kind
        self._kinds = None if kind is None else frozenset({kind, *beside})
        self._queue: Queue = {}  #: result of the last query; replaced as a whole

    def create(self, new: NewTask, now: datetime, actor: str, bound: Bound | None = None) -> TrainingTask:
        """Add a new task to the queue, or return the one with the same idempotency key.

        Raise OverQuota if the owner would then have more queued tasks than `bound`. Nothing has changed then.
        """
        try:
            with self._database.write() as connection:
                lock_owner(connection, bound)
                insert_task(connection, new, now, actor)
                require_queue_limit(connection, bound)
                return find_task(connection, new.task_id)
        except IntegrityError:
            first = self.find_by_key(new.idempotency_key)
            if first is None:
                raise
            forget_change()
            return first

    def find_by_key(self, key: str | None) -> TrainingTask | None:
        """Return the task with this idempotency key, or None."""
        if key is None:
            return None
        with self._database.read() as connection:
            row = connection.execute(_OF_KEY, {"key": key}).one_or_none()
        return None if row is None else read_task(row)

    def get(self, task_id: str) -> TrainingTask:
        """Return a task with its request and plan. Raise TaskNotFound."""
        with self._database.read() as connection:
            return find_task(connection, task_id, self._kinds)

    def get_summary(self, task_id: str) -> TaskSummary:
        """Return a task without its request and plan. Raise TaskNotFound."""
        with self._database.read() as connection:
            return find_summary(connection, task_id, self._kinds)

    def page(
        self,
        criteria: TaskFilter,
        limit: int,
        offset: int | None,
        cursor: int | None,
        order: TaskOrder = TaskOrder.NEWEST,
    ) -> tuple[list[TaskSummary], int]:
        """Return a page of tasks after the serial number `cursor` or after `offset` rows, and the total number."""
        with self._database.read() as connection:
            return read_page(connection, self._of_kind(criteria), order, limit, offset, cursor)

    def served_page(
        self, criteria: TaskFilter, served: Sequence[int], limit: int, offset: int
    ) -> tuple[list[TaskSummary], int]:
        """Return a page of queued tasks in the order of these serial numbers, and the total number."""
        with self._database.read() as connection:
            return read_served(connection, self._of_kind(criteria), served, limit, offset)

    def find_by_serial(self, serial: int) -> TaskSummary | None:
        """Return the task with this serial number, or None."""
        with self._database.read() as connection:
            return find_by_serial(connection, serial)

    def queued(self) -> list[TaskSummary]:
        """Return every queued task in queue order: by priority, then age."""
        with self._database.read() as connection:
            self._queue = read_queue(connection, self._queue)
        return [task for _, task in self._queue.values()]

    def queued_cluster_options(self) -> dict[str, ClusterOptions]:
        """Return the cluster options of queued tasks that have some, by task id."""
        options = tasks.c.request["slurm"]
        query = select(tasks.c.task_id, options.label("options")).where(tasks.c.status == TaskStatus.QUEUED)
        with self._database.read() as connection:
            return {
                row.task_id: _CLUSTER_OPTIONS.validate_python(row.options)
                for row in connection.execute(query)
                if row.options
            }

    def queued_steps(self) -> dict[str, int]:
        """Return the planned steps of queued tasks, by task id, where known."""
        with self._database.read() as connection:
            return {row.task_id: row.steps for row in connection.execute(_QUEUED_STEPS) if row.steps}

    def usual_step_seconds(self) -> dict[tuple[str, int], float]:
        """Return seconds per step by model type and number of GPUs, from the latest completed trainings."""
        with self._database.read() as connection:
            rows = [row for row in connection.execute(_PACES) if row.pace]
        return {(row.model_type, row.gpu_count): row.pace for row in reversed(rows)}

    def names(self, task_ids: Collection[str]) -> list[TaskName]:
        """Return names and owners of the existing ones of these tasks."""
        with self._database.read() as connection:
            return read_names(connection, task_ids)

    def addresses(self, task_ids: Sequence[str]) -> dict[str, str | None]:
        """Return the URLs of these downloads by task id. None means a file of the hub."""
        with self._database.read() as connection:
            return read_addresses(connection, task_ids)

    def running(self) -> RunningTasks:
        """Return the running tasks, as counted for limits."""
        with self._database.read() as connection:
            return read_running_tasks(connection)

    def count_by_status(self, seen_by: str | None = None) -> dict[TaskStatus, int]:
        """Return the number of tasks in each status, for one user if given."""
        with self._database.read() as connection:
            return count_statuses(connection, self._kind, seen_by)

    def request_stop(self, task_id: str, stop: StopState, now: datetime, message: ReasonOrText) -> TaskSummary:
        """Request a stop. A queued task stops immediately. A repeated request can only make the stop harder.

        Raise TaskNotFound, or Conflict if the task has finished.
        """
        with self._database.write() as connection:
            task = find_summary(connection, task_id, self._kinds, lock=True)
            request_task_stop(connection, task, stop, now, message)
            return find_summary(connection, task_id)

    def record_stop_step(self, task: TaskSummary, stop: StopState, attempt_uid: str, now: datetime) -> None:
        """Record the current step of a stop."""
        with self._database.write() as connection:
            record_stop_step(connection, find_summary(connection, task.task_id, lock=True), stop, attempt_uid, now)

    def enqueue_again(
        self,
        task_id: str,
        options: ResumeOptions,
        request: TrainingRequest,
        plan: TrainingPlan,
        now: datetime,
        actor: str,
        message: ReasonOrText,
        bound: Bound | None = None,
    ) -> TrainingTask:
        """Put a finished task back into the queue to resume from a checkpoint.

        Raise TaskNotFound, TaskActive, or OverQuota as in `create`.
        """
        values = {
            **_gpu_columns(request),
            "caches": list(plan.caches),
            "request": dump(request),
            "plan": dump(plan),
            "resume": dump(options),
            "not_before": 0.0,
            "retries": 0,
            "retries_in_a_row": 0,
            **dict.fromkeys(("finished_at", "cause", "stop", "warning", "warning_code", "result")),
        }
        with self._database.write() as connection:
            lock_owner(connection, bound)
            status = find_summary(connection, task_id, self._kinds, lock=True).status
            if not status.is_finished:
                raise TaskActive(f"{task_id} is {status}.", data={"status": status})
            values["queued_at"] = join_queue(connection, now)
            move(connection, task_id, TaskStatus.QUEUED, now, actor, message, **values)
            pin_datasets(connection, task_id, plan.datasets)
            require_queue_limit(connection, bound)
            return find_task(connection, task_id)

    def patch(self, task_id: str, changes: dict[str, Any], now: datetime, actor: str) -> TrainingTask:
        """Change name, description or priority. Raise TaskNotFound."""
        with self._database.write() as connection:
            mine = {"of_task": task_id}
            before = connection.execute(_CHANGEABLE, mine).mappings().one_or_none()
            if before is None or not is_of(before["kind"], self._kinds):
                raise TaskNotFound.named(task_id)
            note_change(before={name: before[name] for name in changes}, after=changes)
            row = connection.execute(_CHANGE, {**mine, **changes, "updated_at": to_seconds(now)}).one()
            messages = [_CHANGES[name](value) for name, value in changes.items()]
            message = messages[0] if len(messages) == 1 else Reason.of("{changes}", "changes", changes=messages)
            events.append(connection, task_id, now, EventKind.CHANGE, actor, message)
            return read_task(row)

    def set_warning(
        self, task_id: str, attempt_uid: str, warning: ReasonOrText | None, now: datetime, **details: Any
    ) -> None:
        """Set or clear the warning. A new warning is also an event."""
        shown = dump_message(warning, "warning")
        with self._database.write() as connection:
            connection.execute(_SET, {"of_task": task_id, **shown})
            if warning is not None:
                events.append(
                    connection,
                    task_id,
                    now,
                    EventKind.WARNING,
                    "service",
                    warning,
                    attempt_uid=attempt_uid,
                    details=details or None,
                )

    def add_event(
        self,
        task_id: str,
        kind: EventKind,
        now: datetime,
        actor: str,
        message: ReasonOrText,
        attempt_uid: str | None,
        **more: Any,
    ) -> None:
        """Append an event. `more` may have `previous` and `current`."""
        with self._database.write() as connection:
            if not self._database.is_sqlite:
                # With the task locked, events become visible in the order of their ids, so that readers miss none.
                connection.execute(_LOCK, {"of_task": task_id})
            events.append(connection, task_id, now, kind, actor, message, attempt_uid=attempt_uid, **more)

    def note_checkpoint(self, attempt: Attempt, name: str, now: datetime) -> None:
        """Record that a checkpoint is complete."""
        message = Reason.of("{name} is complete", "checkpoint_complete", name=name)
        self.add_event(attempt.task_id, EventKind.CHECKPOINT, now, "trainer", message, attempt.uid, current=name)

    def events(self, task_id: str, after: int, limit: int) -> list[TaskEvent]:
        """Return events of a task with an id above `after`, oldest first."""
        with self._database.read() as connection:
            return events.list_events(connection, task_id, after, limit)

    def count_events(self, task_id: str) -> int:
        """Return the number of events of the task."""
        with self._database.read() as connection:
            query = select(func.count()).select_from(event_table).where(event_table.c.task_id == task_id)
            return connection.scalar(query) or 0

    def delete(self, task_id: str, now: datetime) -> None:
        """Delete a finished task, its attempts and events. Its usage of the last day still counts.

        Raise TaskNotFound or TaskNotFinished.
        """
        with self._database.write() as connection:
            locked = select(tasks.c.serial, tasks.c.kind, *_AUDITED).where(tasks.c.task_id == task_id).with_for_update()
            row = connection.execute(locked).one_or_none()
            if row is None or not is_of(row.kind, self._kinds):
                raise TaskNotFound.named(task_id)
            if not TaskStatus(row.status).is_finished:
                raise TaskNotFinished(f"{task_id} is {row.status}. Stop it first.", data={"status": row.status})
            if connection.scalar(select(func.count()).select_from(leases).where(leases.c.task_id == task_id)):
                raise TaskNotFinished(f"A GPU of {task_id} is still draining. Try again in a moment.")
            require_unused(connection, task_id)
            store_past_use(connection, task_id, now)
            note_change(before={column.name: getattr(row, column.name) for column in _AUDITED})
            for numbered in (task_gpus, task_roll):
                connection.execute(delete(numbered).where(numbered.c.serial == row.serial))
            for table in (attempts, event_table, dataset_pins, tasks):
                connection.execute(delete(table).where(table.c.task_id == task_id))

    def _of_kind(self, criteria: TaskFilter) -> TaskFilter:
        is_included = self._kinds is None or (criteria.kind is not None and criteria.kind in self._kinds)
        return criteria if is_included else replace(criteria, kind=self._kind)
