"""Caches made ahead, as the tasks that have made them know them: found by what they depend on, and who uses them."""

from collections.abc import Collection

from sqlalchemy import Connection, and_, select, text

from api.db.database import Database
from api.db.dataset_tables import dataset_pins, datasets
from api.db.rows import read_task
from api.db.tables import tasks
from api.domain.sight import ANOTHERS_TASK, current_sight
from api.domain.task import TaskType
from api.domain.training import NewTask, TaskStatus, TrainingTask
from api.errors import CacheBuilding, CacheInUse

_FINISHED = [status for status in TaskStatus if status.is_finished]
#: Said as the index of what is no training says it, so that a database knows that it may use it.
_IS_CACHE = and_(tasks.c.kind == TaskType.CACHE, text("tasks.kind <> 'training'"))
_KEY = tasks.c.plan["cache"]["key"].as_string()
_MAKER = tasks.c.plan["cache"]["task_id"].as_string()


class DatasetCacheStore:
    """Caches in the database: each is what a task of the kind `cache` has made."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def with_key(self, key: str) -> list[TrainingTask]:
        """The tasks that make or have made the cache of this key, newest first; not those that failed."""
        lost = tasks.c.status.in_([TaskStatus.FAILED, TaskStatus.STOPPED])
        query = select(tasks).where(_IS_CACHE, ~lost, key == _KEY).order_by(tasks.c.serial.desc())
        with self._database.read() as connection:
            return [read_task(row) for row in connection.execute(query)]

    def of_dataset(self, serial: int) -> list[TrainingTask]:
        """The tasks that cache a version of this dataset, newest first."""
        pinned = select(dataset_pins.c.task_id).where(dataset_pins.c.dataset == serial)
        query = select(tasks).where(_IS_CACHE, tasks.c.task_id.in_(pinned)).order_by(tasks.c.serial.desc())
        with self._database.read() as connection:
            return [read_task(row) for row in connection.execute(query)]

    def users(self, task_ids: Collection[str]) -> dict[str, list[str]]:
        """The tasks that have not finished and use what each of these has made; another's is shown without its id."""
        found: dict[str, list[str]] = {}
        with self._database.read() as connection:
            for maker, task_id in _users(connection, task_ids):
                found.setdefault(maker, []).append(task_id)
        return found

    def abandoned(self) -> list[str]:
        """The finished tasks whose cache is of a dataset that was deleted, and that nobody uses."""
        gone = (
            select(dataset_pins.c.task_id)
            .join(datasets, datasets.c.serial == dataset_pins.c.dataset)
            .where(datasets.c.deleted_at.is_not(None))
        )
        query = select(tasks.c.task_id).where(_IS_CACHE, tasks.c.status.in_(_FINISHED), tasks.c.task_id.in_(gone))
        with self._database.read() as connection:
            found = list(connection.scalars(query))
            used = {maker for maker, _ in _users(connection, found)}
        return [task_id for task_id in found if task_id not in used]


def require_single(connection: Connection, new: NewTask) -> None:
    """Lets only one task at a time make a cache. Whoever makes one of the same dataset waits for this transaction, as
    that is locked by now. Raises CacheBuilding.
    """
    if new.kind is not TaskType.CACHE or new.plan.cache is None:
        return
    twin = select(tasks.c.task_id).where(
        _IS_CACHE, tasks.c.status.not_in(_FINISHED), new.plan.cache.key == _KEY, tasks.c.task_id != new.task_id
    )
    first = connection.scalar(twin.limit(1))
    if first is not None:
        raise CacheBuilding(data={"task_id": first})


def require_unused(connection: Connection, task_id: str) -> None:
    """Raises CacheInUse with the tasks that have not finished and use what this one has made."""
    users = [user for _, user in _users(connection, [task_id])]
    if users:
        raise CacheInUse("Tasks that have not finished use this cache.", data={"tasks": users})


def _users(connection: Connection, makers: Collection[str]) -> list[tuple[str, str]]:
    if not makers:
        return []
    sees = current_sight.get().sees
    query = (
        select(_MAKER.label("maker"), tasks.c.task_id, tasks.c.owner)
        .where(tasks.c.status.not_in(_FINISHED), _MAKER.in_(list(makers)), tasks.c.task_id != _MAKER)
        .order_by(tasks.c.serial)
    )
    return [(row.maker, row.task_id if sees(row.owner) else ANOTHERS_TASK) for row in connection.execute(query)]
