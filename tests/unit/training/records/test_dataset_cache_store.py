from dataclasses import replace

import pytest

from api.datasets.records.dataset_store import DatasetStore
from api.db.database import Database
from api.domain.access.read_scope import OTHER_USERS_TASK, ReadScope, seeing
from api.domain.datasets.dataset import Dataset, PinnedDataset
from api.domain.datasets.dataset_cache import CacheState, PlannedCache
from api.domain.tasks.task import TaskType
from api.domain.tasks.training import NewTask, TaskStatus
from api.errors import CacheBuilding, CacheInUse
from api.training.records.dataset_cache_store import DatasetCacheStore
from api.training.records.task_store import insert_task
from tests.unit.db.builders import NOW, Stores, a_stop, beside, new_task


@pytest.fixture
def store(database: Database) -> DatasetCacheStore:
    return DatasetCacheStore(database)


@pytest.fixture
def cats(database: Database) -> Dataset:
    return DatasetStore(database).create(Dataset(0, "cats", None, None, (), None, NOW, NOW, None))


def caching(cats: Dataset, task_id: str = "c1", key: str = "k") -> NewTask:
    cache = PlannedCache(CacheState.BUILDING, key, task_id, is_made=True)
    return _with(new_task(task_id, kind=TaskType.CACHE), cats, cache)


def training(cats: Dataset, task_id: str = "t1", maker: str = "c1", owner: str | None = None) -> NewTask:
    return _with(new_task(task_id, owner=owner), cats, PlannedCache(CacheState.COMPLETE, "k", maker))


def _with(new: NewTask, cats: Dataset, cache: PlannedCache) -> NewTask:
    pin = PinnedDataset("cats", 1, f"sha256:{'a' * 64}", 3, cats.serial)
    return replace(new, plan=replace(new.plan, datasets=(pin,), cache=cache))


def end(stores: Stores, task_id: str) -> None:
    stores.tasks.request_stop(task_id, a_stop(), NOW, "stop")


def test_caches_are_found_by_key_and_dataset(stores: Stores, store: DatasetCacheStore, cats: Dataset):
    stores.tasks.create(caching(cats), NOW, "ann")
    stores.tasks.create(caching(cats, "c2", "other"), NOW, "ann")
    stores.tasks.create(training(cats), NOW, "ann")
    assert [task.task_id for task in store.with_key("k")] == ["c1"]
    assert [task.task_id for task in store.of_dataset(cats.serial)] == ["c2", "c1"]
    end(stores, "c1")
    assert store.with_key("k") == []


def test_one_task_at_a_time_creates_a_cache(stores: Stores, cats: Dataset):
    stores.tasks.create(caching(cats), NOW, "ann")
    with pytest.raises(CacheBuilding) as refused:
        stores.tasks.create(caching(cats, "c2"), NOW, "ann")
    assert refused.value.data == {"task_id": "c1"}
    end(stores, "c1")
    stores.tasks.create(caching(cats, "c2"), NOW, "ann")


def test_one_of_two_concurrent_starts_is_refused(stores: Stores, database: Database, backend: str, cats: Dataset):
    if backend == "sqlite":
        pytest.skip("SQLite has one writer")
    second = beside(
        database,
        lambda connection: insert_task(connection, caching(cats), NOW, "ann"),
        lambda: stores.tasks.create(caching(cats, "c2"), NOW, "ann"),
    )
    assert isinstance(second.exception(), CacheBuilding)


def test_task_that_uses_a_cache_keeps_it(stores: Stores, store: DatasetCacheStore, cats: Dataset):
    stores.tasks.create(caching(cats), NOW, "ann")
    end(stores, "c1")
    stores.tasks.create(training(cats), NOW, "ann")
    stores.tasks.create(training(cats, "t2", owner="bob"), NOW, "bob")
    assert store.users(["c1", "c2"]) == {"c1": ["t1", "t2"]}
    with seeing(ReadScope("bob", sees_all=False)), pytest.raises(CacheInUse) as refused:
        stores.tasks.delete("c1", NOW)
    assert refused.value.data == {"tasks": [OTHER_USERS_TASK, "t2"]}
    end(stores, "t1")
    end(stores, "t2")
    stores.tasks.delete("c1", NOW)


def test_caches_of_a_deleted_dataset_are_abandoned(stores: Stores, store: DatasetCacheStore, cats: Dataset):
    stores.tasks.create(caching(cats), NOW, "ann")
    end(stores, "c1")
    assert store.abandoned() == []
    DatasetStore(stores.database).delete("cats", NOW)
    assert store.abandoned() == ["c1"]
    assert stores.status("c1") is TaskStatus.STOPPED
