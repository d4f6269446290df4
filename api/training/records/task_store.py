"""Tasks: created, changed, moved between statuses and deleted by guarded statements."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError

from api.db.dataset_tables import dataset_pins, datasets
from api.db.rows import (
    dump,
    dump_message,
    to_seconds,
)
from api.db.tables import attempts, leases, sweeps, task_energy, task_gpus, task_roll, tasks
from api.db.tables import events as event_table
from api.db.task_rows import LABEL_COLUMNS, dump_labels, dump_request, queue_rank_of, read_labels, read_task
from api.db.version_runs import keep_version
from api.domain.access.audit import forget_change, note_change
from api.domain.datasets.dataset import PinnedDataset
from api.domain.reason import Reason, ReasonOrText
from api.domain.samples.sample_set import SampleOrder
from api.domain.tasks.cause import Cause
from api.domain.tasks.labels import RANK_OF_CLASS, labels_of, say_changes, show_labels
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import (
    Attempt,
    Checkpoint,
    EventKind,
    NewTask,
    ResumeOptions,
    StopState,
    TaskStatus,
    TaskSummary,
    TrainingPlan,
    TrainingRequest,
    TrainingTask,
    in_line_order,
)
from api.errors import DatasetNotFound, TaskActive, TaskNotFinished, TaskNotFound, TaskNotQueued
from api.training.records import event_store as events
from api.training.records.automatic_sample_store import find_order, put_order
from api.training.records.dataset_cache_store import require_single, require_unused
from api.training.records.sample_store import remove_samples
from api.training.records.status_changes import move, record_stop_step, request_task_stop
from api.training.records.task_queries import (
    OF_KEY,
    OF_TASK,
    TaskQueries,
    find_summary,
    find_task,
    is_of,
    read_exports,
    read_samplings,
)
from api.training.records.usage_store import Bound, lock_owner, require_queue_limit, store_past_use

#: Columns of a deleted task that the audit stores.
_AUDITED = [
    tasks.c[name] for name in ("status", "model_type", "name", "description", "priority", "owner", "created_at")
]

# Built once: building a statement takes longer than executing it.
_LABELS = select(tasks.c.kind, *LABEL_COLUMNS).where(OF_TASK).with_for_update()
_CHANGE = update(tasks).where(OF_TASK).returning(tasks)
_MOVE_IN_LINE = update(tasks).where(tasks.c.serial == bindparam("moved")).values(queue_rank=bindparam("rank"))
_SET = update(tasks).where(OF_TASK)
_LOCK = select(tasks.c.serial).where(OF_TASK).with_for_update()
_INSERT = insert(tasks)
_FORGET_KEY = update(tasks).where(OF_KEY, tasks.c.created_at < bindparam("before")).values(idempotency_key=None)
#: Adds a new task to the table by which tasks are counted.
_ENROLL = insert(task_roll).from_select(
    [column.name for column in task_roll.c], select(*[tasks.c[column.name] for column in task_roll.c]).where(OF_TASK)
)
#: Seconds between two tasks queued at the same time.
_TICK = 1e-6
# Plain SQL with an index hint: SQLite would otherwise use the index on statuses and read every row of the queue.
_LATEST = {
    "sqlite": text("SELECT max(queued_at) FROM tasks INDEXED BY ix_tasks_queued WHERE status = 'queued'"),
    "postgresql": text("SELECT max(queued_at) FROM tasks WHERE status = 'queued'"),
}


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
        **dump_labels(labels_of(request)),
        **dump_request(request, new.plan),
        **dict.fromkeys(("created_at", "updated_at"), seconds),
        "queued_at": _join_queue(connection, now),
        **dict.fromkeys(("not_before", "attempts", "retries", "retries_in_a_row"), 0),
        "restarted_from": new.restarted_from,
        "idempotency_key": new.idempotency_key,
        "owner": new.owner,
        "kind": new.kind,
        "sweep_id": new.sweep_id,
        "sweep_values": None if new.sweep_values is None else dict(new.sweep_values),
        "gpu_uuids": [],
        "resume": dump(new.resume),
    }
    connection.execute(_INSERT, row)
    connection.execute(_ENROLL, {"of_task": new.task_id})
    pin_datasets(connection, new.task_id, new.plan.datasets)
    if new.samples is not None:
        put_order(connection, new.task_id, new.samples, now)
    if new.kind is TaskType.CACHE:
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


def _join_queue(connection: Connection, now: datetime) -> float:
    """Return a queue time after that of all queued tasks, even if the clock was set back."""
    latest, seconds = connection.scalar(_LATEST[connection.dialect.name]), to_seconds(now)
    return seconds if latest is None or latest < seconds else latest + _TICK


class NewSamples(NamedTuple):
    """New automatic samples of a training. None: there are none any more."""

    order: SampleOrder | None


class TaskStore(TaskQueries):
    """Tasks in the database, and their guarded changes."""

    def create(
        self,
        new: NewTask,
        now: datetime,
        actor: str,
        bound: Bound | None = None,
        source: str | None = None,
        verify: Callable[[], object] = lambda: None,
    ) -> TrainingTask:
        """Add a new task to the queue, or return the one with the same idempotency key.

        `verify` checks the files of the task `source`, of which none is deleted by a rule meanwhile.
        Raise OverQuota if the owner would then have more queued tasks than `bound`. Nothing has changed then.
        """
        try:
            with self._database.write() as connection:
                lock_owner(connection, bound)
                if source is not None:
                    find_summary(connection, source, lock=True)
                    verify()
                insert_task(connection, new, now, actor)
                require_queue_limit(connection, bound)
                return find_task(connection, new.task_id)
        except IntegrityError:
            first = self.find_by_key(new.idempotency_key)
            if first is None:
                raise
            forget_change()
            return first

    def request_stop(self, task_id: str, stop: StopState, now: datetime, message: ReasonOrText) -> TaskSummary:
        """Request a stop. A queued task stops immediately. A repeated request can only make the stop harder.

        Raise TaskNotFound, or Conflict if the task has finished.
        """
        with self._database.write() as connection:
            task = find_summary(connection, task_id, self._kinds, lock=True)
            request_task_stop(connection, task, stop, now, message)
            return find_summary(connection, task_id)

    def make_room(self, task_id: str, cause: Cause, now: datetime, preempted_by: str | None = None) -> bool:
        """Request a stop of a task that runs, by the service.

        Return False, without any change, if it does not run, stops already or was deleted. `preempted_by` is the urgent
        task that gets its GPUs.
        """
        stop = StopState(now, actor="service", force=False, timeout_seconds=None, cause=cause)
        with self._database.write() as connection:
            try:
                task = find_summary(connection, task_id, self._kinds, lock=True)
            except TaskNotFound:
                return False
            if task.status not in (TaskStatus.STARTING, TaskStatus.RUNNING):
                # A stop would end a queued task for good.
                return False
            request_task_stop(connection, task, stop, now, cause.message)
            if preempted_by is not None:
                connection.execute(_SET, {"of_task": task_id, "preempted_by": preempted_by})
        return True

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
        prepare: Callable[[], object] = lambda: None,
        labels: Mapping[str, Any] = MappingProxyType({}),
    ) -> TrainingTask:
        """Put a finished task back into the queue to resume from a checkpoint, with these new `labels`.

        `prepare` checks and writes its files when nothing else can refuse it. No rule deletes files meanwhile.
        Raise TaskNotFound, TaskActive, or OverQuota as in `create`.
        """
        values = {
            **dump_labels(labels),
            **dump_request(request, plan),
            "queue_rank": None,
            "resume": dump(options),
            "not_before": 0.0,
            "retries": 0,
            "retries_in_a_row": 0,
            **dict.fromkeys(("finished_at", "cause", "stop", "warning", "warning_code", "result", "preempted_by")),
        }
        with self._database.write() as connection:
            lock_owner(connection, bound)
            status = find_summary(connection, task_id, self._kinds, lock=True).status
            if not status.is_finished:
                raise TaskActive(f"{task_id} is {status}.", data={"status": status})
            values["queued_at"] = _join_queue(connection, now)
            move(connection, task_id, TaskStatus.QUEUED, now, actor, message, **values)
            pin_datasets(connection, task_id, plan.datasets)
            require_queue_limit(connection, bound)
            prepare()
            return find_task(connection, task_id)

    def patch(
        self,
        task_id: str,
        changes: Mapping[str, Any],
        now: datetime,
        actor: str,
        index: int | None = None,
        samples: NewSamples | None = None,
    ) -> TrainingTask:
        """Change fields of a task, or its automatic samples.

        `index` moves a queued task in its line (`_line_of`). Raise TaskNotFound, or TaskNotQueued for an index.
        """
        with self._database.write() as connection:
            mine = {"of_task": task_id}
            line = [] if index is None else _line_of(connection, task_id, changes)
            known = connection.execute(_LABELS, mine).mappings().one_or_none()
            if known is None or not is_of(known["kind"], self._kinds):
                raise TaskNotFound.named(task_id)
            before = show_labels(read_labels(dict(known)))
            note_change(before={name: before[name] for name in changes}, after=show_labels(changes))
            messages = say_changes(changes)
            if index is not None:
                messages.append(_move_in_line(connection, task_id, line, index))
            if samples is not None:
                messages.append(_change_samples(connection, task_id, samples.order, now))
            row = connection.execute(_CHANGE, {**mine, **dump_labels(changes), "updated_at": to_seconds(now)}).one()
            message = messages[0] if len(messages) == 1 else Reason.of("{changes}", "changes", changes=messages)
            events.append(connection, task_id, now, EventKind.CHANGE, actor, message)
            return read_task(row)

    def choose(
        self, task_id: str, name: str | None, now: datetime, actor: str, verify: Callable[[], object] = lambda: None
    ) -> TrainingTask:
        """Store which saved model of a training is the chosen one; None: no model is.

        `verify` checks its files, of which none is deleted by a rule meanwhile. Raise TaskNotFound.
        """
        with self._database.write() as connection:
            before = find_summary(connection, task_id, self._kinds, lock=True).chosen
            verify()
            if before != name:
                note_change(before={"chosen": before}, after={"chosen": name})
                row = {"of_task": task_id, "chosen": name, "updated_at": to_seconds(now)}
                connection.execute(_CHANGE, row)
                message = (
                    Reason.of("{name} is no longer the chosen model", "not_chosen", name=before)
                    if name is None
                    else Reason.of("{name} is the chosen model", "chosen", name=name)
                )
                events.append(connection, task_id, now, EventKind.CHANGE, actor, message, previous=before, current=name)
            return find_task(connection, task_id)

    def record_link(self, task_id: str, name: str, file_name: str, is_linked: bool, now: datetime, actor: str) -> None:
        """Record that a user linked a saved model into ComfyUI, or removed it from there. Raise TaskNotFound."""
        with self._database.write() as connection:
            find_summary(connection, task_id, self._kinds)
            before, after = (None, file_name) if is_linked else (file_name, None)
            note_change(before={"comfyui": before}, after={"comfyui": after})
            message = (
                Reason.of("{name} was linked into ComfyUI as {file}", "comfyui_linked", name=name, file=file_name)
                if is_linked
                else Reason.of("{file} was removed from ComfyUI", "comfyui_unlinked", file=file_name)
            )
            events.append(connection, task_id, now, EventKind.CHANGE, actor, message, previous=before, current=after)

    def set_plan(self, attempt: Attempt, plan: TrainingPlan) -> None:
        """Store the plan of a task's latest attempt. That of an earlier attempt changes nothing."""
        is_latest = tasks.c.attempts == attempt.number
        with self._database.write() as connection:
            connection.execute(_SET.where(is_latest), {"of_task": attempt.task_id, "plan": dump(plan)})

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

    def record_checkpoint(self, attempt: Attempt, name: str, now: datetime) -> None:
        """Record that a checkpoint is complete."""
        message = Reason.of("{name} is complete", "checkpoint_complete", name=name)
        self.add_event(attempt.task_id, EventKind.CHECKPOINT, now, "trainer", message, attempt.uid, current=name)

    def record_checkpoint_deletion(
        self,
        task_id: str,
        hide: Callable[[TaskSummary, str | None, Sequence[TrainingTask]], Checkpoint],
        now: datetime,
        actor: str,
    ) -> Checkpoint:
        """Record that a user deleted a checkpoint. `hide` checks that nothing needs it, and makes it unavailable.

        It gets the task, the checkpoint from which its last attempt resumed, and its exports. It must not read the
        database: many deletions would wait for each other's connections. The task is locked meanwhile, so that no
        resume begins. Raise TaskNotFound.
        """
        with self._database.write() as connection:
            task = find_summary(connection, task_id, self._kinds, lock=True)
            resumed_from = connection.scalar(_LAST_RESUMED, {"of_task": task_id})
            checkpoint = hide(task, resumed_from, read_exports(connection, task_id))
            note_change(before={"checkpoint": checkpoint.name, "size_bytes": checkpoint.size_bytes})
            message = Reason.of("{name} was deleted", "checkpoint_deleted", name=checkpoint.name)
            events.append(connection, task_id, now, EventKind.CHECKPOINT, actor, message, previous=checkpoint.name)
            return checkpoint

    def delete(self, task_id: str, now: datetime) -> list[str]:
        """Delete a finished task, its attempts, events and samples. Its usage of the last day still counts.

        Return the ids of the tasks that rendered its samples, which are deleted with it, or not at all. Raise
        TaskNotFound, TaskNotFinished (also while samples are rendered) or CacheInUse.
        """
        with self._database.write() as connection:
            columns = (tasks.c.serial, tasks.c.kind, tasks.c.sweep_id, *_AUDITED)
            row = connection.execute(select(*columns).where(tasks.c.task_id == task_id).with_for_update()).one_or_none()
            if row is None or not is_of(row.kind, self._kinds):
                raise TaskNotFound.named(task_id)
            if not TaskStatus(row.status).is_finished:
                raise TaskNotFinished.because(f"{task_id} is {row.status}.", row.status)
            if connection.scalar(select(func.count()).select_from(leases).where(leases.c.task_id == task_id)):
                raise TaskNotFinished(f"A GPU of {task_id} is still draining. Try again in a moment.")
            require_unused(connection, task_id)
            samplings = read_samplings(connection, task_id)
            for sampling_id, status in samplings.items():
                if not status.is_finished:
                    raise TaskNotFinished.because(f"{sampling_id} renders samples of it.", status)
            note_change(before={column.name: getattr(row, column.name) for column in _AUDITED})
            for each in (*samplings, task_id):
                _delete_rows(connection, each, now)
            if row.sweep_id is not None:
                _forget_empty_sweep(connection, row.sweep_id)
            return list(samplings)


def _delete_rows(connection: Connection, task_id: str, now: datetime) -> None:
    store_past_use(connection, task_id, now)
    serial = select(tasks.c.serial).where(tasks.c.task_id == task_id).scalar_subquery()
    for numbered in (task_gpus, task_roll):
        connection.execute(delete(numbered).where(numbered.c.serial == serial))
    remove_samples(connection, task_id)
    for table in (attempts, event_table, dataset_pins, task_energy, tasks):
        connection.execute(delete(table).where(table.c.task_id == task_id))


def _forget_empty_sweep(connection: Connection, sweep_id: str) -> None:
    """Delete a sweep that has no trainings any more."""
    mine = sweeps.c.sweep_id == sweep_id
    # The lock makes concurrent deletions of its trainings wait, so that the last one sees that it is the last.
    connection.execute(select(sweeps.c.serial).where(mine).with_for_update())
    if connection.scalar(select(tasks.c.serial).where(tasks.c.sweep_id == sweep_id).limit(1)) is None:
        connection.execute(delete(sweeps).where(mine))


_LAST_RESUMED = (
    select(attempts.c.resumed_from)
    .where(attempts.c.task_id == bindparam("of_task"))
    .order_by(attempts.c.number.desc())
    .limit(1)
)


class _InLine(NamedTuple):
    serial: int
    task_id: str
    queue_rank: float


def _line_of(connection: Connection, task_id: str, changes: Mapping[str, Any]) -> list[_InLine]:
    """Lock and return the queued tasks of the task's owner with its class and priority, which may change, in order.

    A move within them changes no other user's turn. Raise TaskNotFound or TaskNotQueued.
    """
    task = find_summary(connection, task_id)
    if task.status is not TaskStatus.QUEUED:
        raise TaskNotQueued(f"{task_id} is {task.status}, so it has no position in the queue.")
    if not task.needs_gpus:
        raise TaskNotQueued(f"{task_id} waits for no GPU, so it has no position in the queue.")
    is_own = tasks.c.owner.is_(None) if task.owner is None else tasks.c.owner == task.owner
    same_class = tasks.c.priority_class == RANK_OF_CLASS[changes.get("priority_class", task.priority_class)]
    is_equal = same_class & (tasks.c.priority == changes.get("priority", task.priority)) | (tasks.c.task_id == task_id)
    columns = (tasks.c.serial, tasks.c.task_id, tasks.c.queue_rank, tasks.c.queued_at)
    line = select(*columns).where(tasks.c.status == TaskStatus.QUEUED, tasks.c.gpu_count > 0, is_own, is_equal)
    # Every move locks in the same order, so that two of them cannot wait for each other.
    rows = connection.execute(line.order_by(tasks.c.serial).with_for_update()).all()
    return in_line_order(_InLine(row.serial, row.task_id, queue_rank_of(row)) for row in rows)


def _move_in_line(connection: Connection, task_id: str, line: Sequence[_InLine], index: int) -> Reason:
    """Move a task to this index of its line: the tasks exchange their ranks. Return the message of the event.

    Raise TaskNotQueued if the task has left the queue.
    """
    order = [row.serial for row in line if row.task_id != task_id]
    if len(order) == len(line):
        raise TaskNotQueued(f"{task_id} has just left the queue.")
    index = min(index, len(order))
    order.insert(index, next(row.serial for row in line if row.task_id == task_id))
    moved = [
        {"moved": serial, "rank": row.queue_rank}
        for serial, row in zip(order, line, strict=True)
        if serial != row.serial
    ]
    if moved:
        connection.execute(_MOVE_IN_LINE, moved)
    note_change(after={"position_in_line": index + 1})
    return Reason.of(
        "moved to position {position} of {total} among its user's queued tasks of this priority",
        "moved_in_line",
        position=index + 1,
        total=len(order),
    )


def _change_samples(connection: Connection, task_id: str, order: SampleOrder | None, now: datetime) -> Reason:
    """Replace the automatic samples of a training. Return the message of the event."""
    before = find_order(connection, task_id)
    put_order(connection, task_id, order, now)
    shown = None if order is None else order.request
    note_change(before={"samples": before and dump(before.order.request)}, after={"samples": dump(shown)})
    if order is None:
        return Reason.of("no samples are rendered automatically any more", "no_automatic_samples")
    name = f"{order.sample_set}@{order.version}"
    if order.every == 1:
        return Reason.of("{name} is rendered with every saved model", "automatic_samples", name=name)
    return Reason.of(
        "{name} is rendered with one of {every} saved models", "automatic_samples_some", name=name, every=order.every
    )


def pin_datasets(connection: Connection, task_id: str, pins: Sequence[PinnedDataset]) -> None:
    """Replace the versions that a task uses. Raise DatasetNotFound for a deleted dataset that no task uses."""
    for pin in pins:
        # The lock makes a concurrent deletion of the dataset wait for this transaction.
        locked = select(datasets.c.deleted_at).where(datasets.c.serial == pin.serial).with_for_update()
        row = connection.execute(locked).one_or_none()
        if row is None or (row.deleted_at is not None and not _is_pinned(connection, pin)):
            raise DatasetNotFound(f"The dataset {pin.dataset} was deleted meanwhile.")
        keep_version(connection, pin.serial, pin.version)
    connection.execute(delete(dataset_pins).where(dataset_pins.c.task_id == task_id))
    rows = {
        (pin.manifest_sha256, pin.serial): {
            "task_id": task_id,
            "manifest": pin.manifest_sha256,
            "dataset": pin.serial,
            "ordinal": pin.version,
            "name": pin.dataset,
        }
        for pin in pins
    }
    if rows:
        connection.execute(insert(dataset_pins), list(rows.values()))


def _is_pinned(connection: Connection, pin: PinnedDataset) -> bool:
    same = (dataset_pins.c.dataset == pin.serial) & (dataset_pins.c.manifest == pin.manifest_sha256)
    return connection.execute(select(dataset_pins.c.task_id).where(same).limit(1)).first() is not None
