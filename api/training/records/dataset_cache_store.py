"""Prebuilt caches in the database, found through the tasks that built them."""

from collections.abc import Collection

from sqlalchemy import Connection, and_, select, text

from api.db.database import Database
from api.db.dataset_tables import dataset_pins, datasets
from api.db.tables import tasks
from api.db.task_rows import read_task
from api.domain.access.read_scope import OTHER_USERS_TASK, current_scope
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import FINISHED, NewTask, TaskStatus, TrainingTask
from api.errors import CacheBuilding, CacheInUse

#: Written exactly as in the definition of the index on other kinds than training, so that the database uses the index.
_IS_CACHE = and_(tasks.c.kind == TaskType.CACHE, text("tasks.kind <> 'training'"))
_KEY = tasks.c.plan["cache"]["key"].as_string()
_MAKER = tasks.c.plan["cache"]["task_id"].as_string()


class DatasetCacheStore:
    """Reads caches from the database. Each is the result of a task of the kind `cache`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def with_key(self, key: str) -> list[TrainingTask]:
        """Return the tasks that build or built the cache with this key, newest first, without failed ones."""
        failed = tasks.c.status.in_([TaskStatus.FAILED, TaskStatus.STOPPED])
        query = select(tasks).where(_IS_CACHE, ~failed, key == _KEY).order_by(tasks.c.serial.desc())
        with self._database.read() as connection:
            return [read_task(row) for row in connection.execute(query)]

    def of_dataset(self, serial: int) -> list[TrainingTask]:
        """Return the tasks that build or built caches of this dataset, newest first."""
        pinned = select(dataset_pins.c.task_id).where(dataset_pins.c.dataset == serial)
        query = select(tasks).where(_IS_CACHE, tasks.c.task_id.in_(pinned)).order_by(tasks.c.serial.desc())
        with self._database.read() as connection:
            return [read_task(row) for row in connection.execute(query)]

    def users(self, task_ids: Collection[str]) -> dict[str, list[str]]:
        """Return the unfinished tasks that use each of these caches. Ids of other users' tasks are hidden."""
        found: dict[str, list[str]] = {}
        with self._database.read() as connection:
            for maker, task_id in _users(connection, task_ids):
                found.setdefault(maker, []).append(task_id)
        return found

    def abandoned(self) -> list[str]:
        """Return the finished tasks whose cache belongs to a deleted dataset and is not in use."""
        deleted = (
            select(dataset_pins.c.task_id)
            .join(datasets, datasets.c.serial == dataset_pins.c.dataset)
            .where(datasets.c.deleted_at.is_not(None))
        )
        query = select(tasks.c.task_id).where(_IS_CACHE, tasks.c.status.in_(FINISHED), tasks.c.task_id.in_(deleted))
        with self._database.read() as connection:
            found = list(connection.scalars(query))
            used = {maker for maker, _ in _users(connection, found)}
        return [task_id for task_id in found if task_id not in used]


def require_single(connection: Connection, new: NewTask) -> None:
    """Ensure that only one task at a time builds a cache. Raise CacheBuilding.

    The caller has locked the dataset, so that concurrent requests wait for this transaction.
    """
    if new.plan.cache is None:
        return
    existing = select(tasks.c.task_id).where(
        _IS_CACHE, tasks.c.status.not_in(FINISHED), new.plan.cache.key == _KEY, tasks.c.task_id != new.task_id
    )
    first = connection.scalar(existing.limit(1))
    if first is not None:
        raise CacheBuilding(data={"task_id": first})


def require_unused(connection: Connection, task_id: str) -> None:
    """Raise CacheInUse if unfinished tasks use the cache of this task."""
    users = [user for _, user in _users(connection, [task_id])]
    if users:
        raise CacheInUse("Tasks that have not finished use this cache.", data={"tasks": users})


def _users(connection: Connection, makers: Collection[str]) -> list[tuple[str, str]]:
    if not makers:
        return []
    sees = current_scope.get().sees
    query = (
        select(_MAKER.label("maker"), tasks.c.task_id, tasks.c.owner)
        .where(tasks.c.status.not_in(FINISHED), _MAKER.in_(list(makers)), tasks.c.task_id != _MAKER)
        .order_by(tasks.c.serial)
    )
    return [(row.maker, row.task_id if sees(row.owner) else OTHER_USERS_TASK) for row in connection.execute(query)]
