"""Queries for tasks: one by its id, numbers of tasks, pages, and the queue.

Of a long queue, only changed rows are read completely.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Text,
    TextClause,
    bindparam,
    cast,
    func,
    literal_column,
    or_,
    select,
    text,
)

from api.db.database import Database
from api.db.tables import attempts, events, task_gpus, task_roll, tasks
from api.db.task_rows import SUMMARY_COLUMNS, dump_tags, read_summary, read_task
from api.domain.tasks.cluster_options import ClusterOptions
from api.domain.tasks.durations import CompletedRun, Load, RemainingWork
from api.domain.tasks.labels import SEARCHED
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import TaskEvent, TaskFilter, TaskStatus, TaskSummary, TrainingTask, in_queue_order
from api.domain.tasks.usage import Owner
from api.errors import TaskNotFound
from api.training.queue.slots import TRANSFERS, RunningTasks, RunningTransfer
from api.training.records.event_store import list_events
from api.util.batches import in_batches

#: Number of cached statements. Building one takes longer than executing it, and an open page repeats its queries every
#: few seconds.
STATEMENTS = 64

#: Number of completed trainings from which the duration of new ones is estimated.
_COMPLETED_ROWS = 200

#: Exports of a training that are listed.
_MOST_EXPORTS = 100

_OF_GPU = task_gpus.join(tasks, tasks.c.serial == task_gpus.c.serial)

#: The registered model of a push. Only queried among pushes, which are few.
_pushed_model = tasks.c.request["config"]["order"]["model"].as_string()

#: Kinds other than training. Written exactly as in the definition of their index, so that the database uses it.
_OTHERS = text("tasks.kind <> 'training'")

#: The same beside other conditions, so that these use their own index instead of checking the kind of each row.
_other = tasks.alias("other")
_AMONG_OTHERS = tasks.c.serial.in_(select(_other.c.serial).where(text("other.kind <> 'training'")))


#: Condition for one task. Its id is passed at execution.
OF_TASK = tasks.c.task_id == bindparam("of_task")

#: Condition for the task with an idempotency key, which is passed at execution.
OF_KEY = tasks.c.idempotency_key == bindparam("key")

# Built once: these are the most frequent queries, and building a statement takes as long as executing it.
_TASK = select(tasks).where(OF_TASK)
_SUMMARY = select(*SUMMARY_COLUMNS).where(OF_TASK)
_WITH_KEY = select(tasks).where(OF_KEY)
_ORDERED_FOR = tasks.c.request["config"]["order"]["task_id"].as_string() == bindparam("of_task")
#: Exports by the trainer itself have a training's request.
_EXPORTED_FOR = or_(_ORDERED_FOR, tasks.c.plan["export"]["task_id"].as_string() == bindparam("of_task"))
_EXPORTS = (
    select(tasks)
    .where(tasks.c.kind == TaskType.EXPORT, _OTHERS, _EXPORTED_FOR)
    .order_by(tasks.c.serial.desc())
    .limit(_MOST_EXPORTS)
)
_SAMPLINGS = select(tasks.c.task_id, tasks.c.status).where(tasks.c.kind == TaskType.SAMPLE, _OTHERS, _ORDERED_FOR)
_LOCKED_SUMMARY = _SUMMARY.with_for_update()


def find_task(connection: Connection, task_id: str, kinds: Collection[TaskType] | None = None) -> TrainingTask:
    """Return the task with its request and plan, if its kind matches. Raise TaskNotFound."""
    row = connection.execute(_TASK, {"of_task": task_id}).one_or_none()
    if row is None or not is_of(row.kind, kinds):
        raise TaskNotFound.named(task_id)
    return read_task(row)


def find_summary(
    connection: Connection, task_id: str, kinds: Collection[TaskType] | None = None, *, lock: bool = False
) -> TaskSummary:
    """Return the task without its request and plan, if its kind matches.

    `lock` prevents changes by others until this transaction ends. Raise TaskNotFound.
    """
    row = connection.execute(_LOCKED_SUMMARY if lock else _SUMMARY, {"of_task": task_id}).one_or_none()
    if row is None or not is_of(row.kind, kinds):
        raise TaskNotFound.named(task_id)
    return read_summary(row)


def read_exports(connection: Connection, task_id: str) -> list[TrainingTask]:
    """Return the latest exports of a training's checkpoints, newest first."""
    return [read_task(row) for row in connection.execute(_EXPORTS, {"of_task": task_id})]


def read_samplings(connection: Connection, task_id: str) -> dict[str, TaskStatus]:
    """Return the statuses of the tasks that render samples of a training, by task id."""
    rows = connection.execute(_SAMPLINGS, {"of_task": task_id})
    return {row.task_id: TaskStatus(row.status) for row in rows}


def is_of(kind: str, kinds: Collection[TaskType] | None) -> bool:
    """Return whether the kind is one of these. Without kinds it always is."""
    return kinds is None or kind in kinds


def source_of(criteria: TaskFilter) -> FromClause:
    """Return the table to search."""
    return tasks if criteria.gpu_uuid is None else _OF_GPU


def conditions_of(criteria: TaskFilter) -> list[ColumnElement[bool] | TextClause]:
    """Return the conditions of a filter."""
    conditions: list[ColumnElement[bool] | TextClause] = []
    if criteria.statuses:
        conditions.append(tasks.c.status.in_(criteria.statuses))
    if criteria.kind is not None:
        conditions.append(tasks.c.kind == criteria.kind)
    if criteria.kind not in (None, TaskType.TRAINING):
        conditions.append(_OTHERS)
    if criteria.model_type is not None:
        conditions.append(tasks.c.model_type == criteria.model_type)
    if criteria.pushed_model is not None:
        conditions.append(_pushed_model == criteria.pushed_model)
    if criteria.gpu_uuid is not None:
        conditions.append(task_gpus.c.gpu_uuid == criteria.gpu_uuid)
    conditions += [tasks.c.owner == owner for owner in (criteria.owner, criteria.seen_by) if owner is not None]
    if criteria.sweep is not None:
        conditions.append(tasks.c.sweep_id == criteria.sweep)
    if criteria.tag is not None:
        # Unlike LIKE, `replace` distinguishes upper and lower case on every database.
        conditions.append(func.replace(tasks.c.tags, dump_tags([criteria.tag]), "") != tasks.c.tags)
    if criteria.search:
        columns = [tasks.c.task_id, *[tasks.c[name] for name in SEARCHED]]
        conditions.append(or_(*[column.icontains(criteria.search, autoescape=True) for column in columns]))
    return conditions


def count_tasks(connection: Connection, criteria: TaskFilter) -> int:
    """Return the number of matching tasks."""
    if criteria.kind not in (None, TaskType.TRAINING):
        return connection.scalar(_count(criteria)) or 0
    every = replace(criteria, kind=None)
    is_by_roll = every == TaskFilter(owner=every.owner, seen_by=every.seen_by)
    found = connection.scalar(_count_roll(every) if is_by_roll else _count(every)) or 0
    if criteria.kind is None:
        return found
    # Trainings have no index of their own. They are all tasks except the others, which have one.
    return found - (connection.scalar(_count(every, others=True)) or 0)


@lru_cache(STATEMENTS)
def _count_roll(criteria: TaskFilter) -> Select[Any]:
    owners = [task_roll.c.owner == owner for owner in (criteria.owner, criteria.seen_by) if owner is not None]
    return select(func.count()).select_from(task_roll).where(*owners)


@lru_cache(STATEMENTS)
def _count(criteria: TaskFilter, *, others: bool = False) -> Select[Any]:
    conditions = conditions_of(criteria)
    if others:
        conditions.append(_AMONG_OTHERS if conditions else _OTHERS)
    has_index = criteria == TaskFilter(gpu_uuid=criteria.gpu_uuid) and criteria.gpu_uuid is not None and not others
    return select(func.count()).select_from(task_gpus if has_index else source_of(criteria)).where(*conditions)


def _by_status(
    connection: Connection, owner: str | None, conditions: Sequence[ColumnElement[bool] | TextClause]
) -> dict[str, int]:
    query = select(tasks.c.status, func.count().label("number")).where(*conditions).group_by(tasks.c.status)
    if owner is not None:
        query = query.where(tasks.c.owner == owner)
    return {row.status: row.number for row in connection.execute(query)}


@lru_cache(STATEMENTS)
def _newest(criteria: TaskFilter, *, has_cursor: bool) -> Select[Any]:
    # The index of a GPU's tasks has them in order, and often few of them.
    serial = tasks.c.serial if criteria.gpu_uuid is None else task_gpus.c.serial
    query = select(*SUMMARY_COLUMNS).select_from(source_of(criteria)).where(*conditions_of(criteria))
    query = query.order_by(serial.desc()).limit(bindparam("most"))
    return query.where(serial < bindparam("behind")) if has_cursor else query.offset(bindparam("skipped"))


#: Queue length from which reading change marks first is cheaper than reading complete rows.
LONG = 500

#: Limit of rows per statement.
_AT_ONCE = 500


class TaskName(NamedTuple):
    """Name and owner of a task that other tasks wait for."""

    task_id: str
    name: str | None
    owner: str | None


class ChosenModel(NamedTuple):
    """The saved model that a user has chosen of a training."""

    task_id: str
    name: str | None  #: of the training
    chosen: str
    directory: str  #: of its latest attempt
    owner: str | None  #: of the training


#: Columns that change whenever a queued task's row changes, as the driver returns them; the serial number first.
Mark = tuple[Any, ...]

#: Queued tasks in queue order, by serial number, each with its row's mark.
Queue = Mapping[int, tuple[Mark, TaskSummary]]

_WAITS = tasks.c.status == TaskStatus.QUEUED
# Every change of a queued task changes one of these columns, even if the clock was set back.
_MARKED = (
    "serial", "priority", "priority_class", "queued_at", "queue_rank", "not_before", "start_not_before", "updated_at",
    "attempts", "name", "owner",
)  # fmt: skip
_WHOLE = select(*SUMMARY_COLUMNS).where(_WAITS)
_MARKS = select(*[tasks.c[name] for name in _MARKED]).where(_WAITS)
_NAMES = select(tasks.c.task_id, tasks.c.name, tasks.c.owner).where(
    tasks.c.task_id.in_(bindparam("of_tasks", expanding=True))
)
_THESE = select(*SUMMARY_COLUMNS).where(tasks.c.serial.in_(bindparam("serials", expanding=True)))
# Plain SQL: PostgreSQL treats two expressions with one parameter each as different.
_ON_GPUS: ColumnElement[bool] = literal_column("gpu_count > 0", Boolean)
_mark = attrgetter(*_MARKED)
_CLUSTER_OPTIONS = TypeAdapter(ClusterOptions)
_RUNS = tasks.c.status.in_([status for status in TaskStatus if status.is_active])
_ACTIVE = select(*SUMMARY_COLUMNS).where(_RUNS, tasks.c.gpu_count > 0)
_PLACES = (
    select(tasks.c.owner, tasks.c.kind, _ON_GPUS.label("on_gpus"), func.count().label("number"))
    .where(_RUNS)
    .group_by(tasks.c.owner, tasks.c.kind, _ON_GPUS)
)
_ADDRESS = tasks.c.request["config"]["order"]["url"].as_string().label("address")
_RUNNING_TRANSFERS = select(tasks.c.owner, _ADDRESS).where(_RUNS, tasks.c.kind.in_(sorted(TRANSFERS)))
_LOAD = (tasks.c.model_type, tasks.c.gpu_count, tasks.c.plan["global_batch_size"].as_integer().label("batch"))
_FACTS = tasks.c.plan["memory"]["facts"].label("facts")
_TOTAL_STEPS = tasks.c.plan["total_steps"].as_integer().label("steps")
_STEP = tasks.c.progress["progress"]["current_step"].as_integer().label("step")
#: An export makes a single step, whatever the number of its checkpoint's.
_EXPORTED_STEP = tasks.c.plan["export"]["step"].as_integer().label("exported_step")
_QUEUED_WORK = select(tasks.c.task_id, *_LOAD, _FACTS, _TOTAL_STEPS, _STEP, _EXPORTED_STEP).where(
    tasks.c.status == TaskStatus.QUEUED
)
_COMPLETED_RUNS = (
    select(
        *_LOAD,
        _FACTS,
        _STEP,
        tasks.c.progress["speed"]["time_per_step"].as_float().label("pace"),
        (tasks.c.finished_at - tasks.c.started_at).label("seconds"),
        tasks.c.attempts,
    )
    .where(tasks.c.status == TaskStatus.COMPLETED, tasks.c.kind == TaskType.TRAINING)
    .order_by(tasks.c.serial.desc())
    .limit(_COMPLETED_ROWS)
)
_ADDRESSES = select(tasks.c.task_id, _ADDRESS).where(tasks.c.task_id.in_(bindparam("of_tasks", expanding=True)))


def _read_queue(connection: Connection, known: Queue) -> Queue:
    """Return the queued tasks in queue order. `known` is the previous result."""
    if len(known) < LONG:
        found = {row.serial: (_mark(row), read_summary(row)) for row in connection.execute(_WHOLE)}
    else:
        same, changed = _compare_marks(connection, known)
        if not changed and len(same) == len(known):
            return known
        found = {serial: known[serial] for serial in same}
        for serials in in_batches(list(changed), _AT_ONCE):
            some = connection.execute(_THESE, {"serials": serials})
            found.update((row.serial, (changed[row.serial], read_summary(row))) for row in some)
    return {task.serial: found[task.serial] for task in in_queue_order(task for _, task in found.values())}


def _compare_marks(connection: Connection, known: Queue) -> tuple[list[int], dict[int, Mark]]:
    """Return the serial numbers of the queued tasks that have not changed, and the marks of the others."""
    same, changed = list[int](), dict[int, Mark]()
    for mark in _read_marks(connection):
        serial = mark[0]
        before = known.get(serial)
        if before is None or before[0] != mark:
            changed[serial] = mark
        else:
            same.append(serial)
    return same, changed


def _read_marks(connection: Connection) -> Iterator[Mark]:
    # Reads the driver's tuples in batches. Row objects would take twice as long, and all tuples at once would trigger a
    # garbage collection of a third of a second.
    cursor = connection.execute(_MARKS).cursor
    while cursor is not None and (some := cursor.fetchmany(_AT_ONCE)):
        yield from some


def _load(row: Any) -> Load:
    return Load.of(row.model_type, row.gpu_count, row.batch, row.facts)


class TaskQueries:
    """Reads tasks."""

    def __init__(self, database: Database, kind: TaskType | None = None, *beside: TaskType) -> None:
        """Create the queries.

        With a kind, it finds, lists and changes only tasks of that kind, but returns queued and running tasks of all
        kinds. Tasks of the kinds `beside` can also be found and changed, and listed on request.
        """
        self._database = database
        self._kind = kind
        self._kinds = None if kind is None else frozenset({kind, *beside})
        self._queue: Queue = {}  #: result of the last query; replaced as a whole

    # -- single tasks ----------------------------------------------------------------------------------------------

    def get(self, task_id: str) -> TrainingTask:
        """Return a task with its request and plan. Raise TaskNotFound."""
        with self._database.read() as connection:
            return find_task(connection, task_id, self._kinds)

    def get_summary(self, task_id: str) -> TaskSummary:
        """Return a task without its request and plan. Raise TaskNotFound."""
        with self._database.read() as connection:
            return find_summary(connection, task_id, self._kinds)

    def find_by_key(self, key: str | None) -> TrainingTask | None:
        """Return the task with this idempotency key, or None."""
        if key is None:
            return None
        with self._database.read() as connection:
            row = connection.execute(_WITH_KEY, {"key": key}).one_or_none()
        return None if row is None else read_task(row)

    def find_by_serial(self, serial: int) -> TaskSummary | None:
        """Return the task with this serial number, or None."""
        with self._database.read() as connection:
            row = connection.execute(select(*SUMMARY_COLUMNS).where(tasks.c.serial == serial)).one_or_none()
        return None if row is None else read_summary(row)

    def exports_of(self, task_id: str) -> list[TrainingTask]:
        """Return the latest exports of a training's checkpoints, newest first."""
        with self._database.read() as connection:
            return read_exports(connection, task_id)

    def samplings_of(self, task_id: str) -> dict[str, TaskStatus]:
        """Return the statuses of the tasks that render samples of a training, by task id."""
        with self._database.read() as connection:
            return read_samplings(connection, task_id)

    def events(self, task_id: str, after: int, limit: int, *, is_newest_first: bool = False) -> list[TaskEvent]:
        """Return events of a task that follow the id `after`, oldest first, or newest first; 0: from the start."""
        with self._database.read() as connection:
            return list_events(connection, task_id, after, limit, is_newest_first=is_newest_first)

    def count_events(self, task_id: str) -> int:
        """Return the number of events of the task."""
        with self._database.read() as connection:
            query = select(func.count()).select_from(events).where(events.c.task_id == task_id)
            return connection.scalar(query) or 0

    # -- pages and numbers -----------------------------------------------------------------------------------------

    def page(
        self, criteria: TaskFilter, limit: int, offset: int | None, cursor: int | None
    ) -> tuple[list[TaskSummary], int]:
        """Return a page of tasks, newest first, and the total number.

        It begins after the serial number `cursor` or after `offset` rows.
        """
        criteria = self._of_kind(criteria)
        newest = _newest(criteria, has_cursor=cursor is not None)
        with self._database.read() as connection:
            total = count_tasks(connection, criteria)
            found = connection.execute(newest, {"most": limit, "skipped": offset or 0, "behind": cursor})
            return [read_summary(row) for row in found], total

    def served_page(
        self, criteria: TaskFilter, served: Sequence[int], limit: int, offset: int
    ) -> tuple[list[TaskSummary], int]:
        """Return a page of queued tasks in the order of these serial numbers, and the total number."""
        criteria = self._of_kind(criteria)
        queued = select(tasks.c.serial).select_from(source_of(criteria)).where(_WAITS, *conditions_of(criteria))
        with self._database.read() as connection:
            found = set(connection.scalars(queued))
            matching = [serial for serial in served if serial in found]
            shown = matching[offset : offset + limit]
            rows = connection.execute(select(*SUMMARY_COLUMNS).where(tasks.c.serial.in_(shown)))
            by_serial = {row.serial: read_summary(row) for row in rows}
        return [by_serial[serial] for serial in shown if serial in by_serial], len(matching)

    def _of_kind(self, criteria: TaskFilter) -> TaskFilter:
        is_included = self._kinds is None or (criteria.kind is not None and criteria.kind in self._kinds)
        return criteria if is_included else replace(criteria, kind=self._kind)

    def count_by_status(self, seen_by: str | None = None) -> dict[TaskStatus, int]:
        """Return the number of tasks in each status, for one user if given."""
        is_training = self._kind is TaskType.TRAINING
        conditions = [] if self._kind is None or is_training else conditions_of(TaskFilter(kind=self._kind))
        with self._database.read() as connection:
            counted = Counter(_by_status(connection, seen_by, conditions))
            if is_training:
                counted.subtract(_by_status(connection, seen_by, [_AMONG_OTHERS]))
        return {TaskStatus(status): number for status, number in counted.items() if number}

    def has_read_data(self) -> bool:
        """Return whether a training was given data: each that is not the toy, and the toy if it names directories."""
        has_directories = cast(tasks.c.request, Text).contains('"directories"')
        found = select(tasks.c.serial).where(
            tasks.c.kind == TaskType.TRAINING, or_(tasks.c.model_type != "toy", has_directories)
        )
        with self._database.read() as connection:
            return connection.execute(found.limit(1)).first() is not None

    def completed_runs(self) -> list[CompletedRun]:
        """Return the durations of the latest completed trainings, newest first."""
        with self._database.read() as connection:
            return [
                CompletedRun(
                    _load(row),
                    row.pace,
                    # Several attempts include the time between them.
                    max(0.0, row.seconds - row.step * row.pace)
                    if row.attempts == 1 and row.step and row.seconds is not None
                    else None,
                )
                for row in connection.execute(_COMPLETED_RUNS)
                if row.pace
            ]

    def chosen_models(self) -> list[ChosenModel]:
        """Return the chosen model of each training that has one, with the directory of its latest attempt."""
        latest = (attempts.c.task_id == tasks.c.task_id) & (attempts.c.number == tasks.c.attempts)
        query = select(tasks.c.task_id, tasks.c.name, tasks.c.chosen, attempts.c.directory, tasks.c.owner)
        with self._database.read() as connection:
            rows = connection.execute(
                query.join(attempts, latest).where(tasks.c.chosen.is_not(None)).order_by(tasks.c.serial)
            )
            return [ChosenModel(*row) for row in rows]

    # -- the queue, and what runs ----------------------------------------------------------------------------------

    def queued(self) -> list[TaskSummary]:
        """Return every queued task in queue order."""
        with self._database.read() as connection:
            self._queue = _read_queue(connection, self._queue)
        return [task for _, task in self._queue.values()]

    def queued_cluster_options(self) -> dict[str, ClusterOptions]:
        """Return the cluster options of queued tasks that have some, by task id."""
        query = select(tasks.c.task_id, tasks.c.request["slurm"].label("options")).where(_WAITS)
        with self._database.read() as connection:
            return {
                row.task_id: _CLUSTER_OPTIONS.validate_python(row.options)
                for row in connection.execute(query)
                if row.options
            }

    def queued_work(self) -> dict[str, RemainingWork]:
        """Return the loads and remaining steps of queued tasks, by task id, where known."""
        with self._database.read() as connection:
            return {
                row.task_id: RemainingWork(_load(row), 1 if row.exported_step else max(0, row.steps - (row.step or 0)))
                for row in connection.execute(_QUEUED_WORK)
                if row.steps
            }

    def active(self) -> list[TaskSummary]:
        """Return the tasks with GPUs whose attempt has not ended."""
        with self._database.read() as connection:
            return [read_summary(row) for row in connection.execute(_ACTIVE)]

    def running(self) -> RunningTasks:
        """Return the running tasks, as counted for limits."""
        working, sampling = Counter[Owner](), Counter[Owner]()
        with self._database.read() as connection:
            rows = connection.execute(_PLACES).all()
            # Most passes have no transfers; then their requests need not be read.
            has_transfers = any(row.kind in TRANSFERS for row in rows)
            transfers = connection.execute(_RUNNING_TRANSFERS).all() if has_transfers else ()
        for row in rows:
            if not row.on_gpus and row.kind not in TRANSFERS:
                (sampling if row.kind == TaskType.SAMPLE else working)[row.owner] += row.number
        return RunningTasks(
            sum(row.number for row in rows if row.on_gpus),
            working,
            tuple(RunningTransfer(row.owner, row.address) for row in transfers),
            sampling,
        )

    def names(self, task_ids: Collection[str]) -> list[TaskName]:
        """Return names and owners of the existing ones of these tasks."""
        with self._database.read() as connection:
            return [TaskName(*row) for row in connection.execute(_NAMES, {"of_tasks": list(task_ids)})]

    def addresses(self, task_ids: Sequence[str]) -> dict[str, str | None]:
        """Return the URLs of these downloads by task id. None means a file of the hub."""
        found: dict[str, str | None] = {}
        with self._database.read() as connection:
            for some in in_batches(task_ids, _AT_ONCE):
                rows = connection.execute(_ADDRESSES, {"of_tasks": some})
                found.update((row.task_id, row.address) for row in rows)
        return found
