from collections.abc import Sequence

import pytest
from sqlalchemy import func, insert, select, update

from api.datasets.records.dataset_store import DatasetStore
from api.datasets.records.hold_store import DatasetHolds
from api.datasets.records.rows import NewVersion
from api.db.database import Database
from api.db.dataset_tables import dataset_blobs, dataset_pins, uploads
from api.db.tables import tasks
from api.domain.datasets.dataset import Dataset
from api.errors import DatasetChanged
from tests.unit.db.builders import NOW, Stores, later, new_task

SHA, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def holds(database: Database) -> DatasetHolds:
    return DatasetHolds(database)


@pytest.fixture
def store(database: Database) -> DatasetStore:
    return DatasetStore(database)


@pytest.fixture
def cats(store: DatasetStore) -> Dataset:
    return store.create(Dataset(0, "cats", "ann", "tabby", (), None, NOW, NOW, None))


def pin(database: Database, dataset: Dataset) -> None:
    with database.write() as connection:
        row = {"task_id": "t1", "manifest": SHA, "dataset": dataset.serial, "ordinal": 1, "name": dataset.name}
        connection.execute(insert(dataset_pins).values(row))


def needed(holds: DatasetHolds, *hashes: str) -> Sequence[str]:
    return sorted(holds.needed(hashes))


def take_over(store: DatasetStore, dataset: Dataset, claim: int, blobs: int) -> None:
    new = NewVersion(SHA, "ann", "", 1, 5, claim=claim, claimed_blobs=blobs)
    store.add_version(dataset.serial, new, None, NOW)


def test_claimed_blobs_are_needed_before_a_version_exists(store: DatasetStore, holds: DatasetHolds, cats: Dataset):
    claim = holds.hold(cats.serial, {SHA: 5}, NOW)
    holds.hold(cats.serial, {SHA: 5}, NOW)
    assert needed(holds, SHA, OTHER) == [SHA]
    assert needed(holds) == []
    assert holds.held(cats.serial) == set()
    take_over(store, cats, claim, 1)
    assert holds.held(cats.serial) == {SHA}


def test_claim_without_a_version_is_released_after_an_hour(store: DatasetStore, holds: DatasetHolds, cats: Dataset):
    claim = holds.hold(cats.serial, {SHA: 5, OTHER: 6}, NOW)
    holds.purge(later(3000))
    assert needed(holds, SHA, OTHER) == [SHA, OTHER]
    take_over(store, cats, claim, 2)
    holds.hold(cats.serial, {"c" * 64: 7}, NOW)
    holds.purge(later(4000))
    assert needed(holds, SHA, OTHER, "c" * 64) == [SHA, OTHER]


def test_version_with_a_released_claim_is_not_created(store: DatasetStore, holds: DatasetHolds, cats: Dataset):
    claim = holds.hold(cats.serial, {SHA: 5, OTHER: 6}, NOW)
    holds.purge(later(4000))
    with pytest.raises(DatasetChanged, match="took too long"):
        take_over(store, cats, claim, 2)
    assert store.get("cats").latest is None


def test_files_of_a_deleted_dataset_stay_until_the_last_task_is_deleted(
    store: DatasetStore, holds: DatasetHolds, cats: Dataset, stores: Stores
):
    stores.tasks.create(new_task(), NOW, "ann")
    pin(stores.database, cats)
    holds.hold(cats.serial, {SHA: 5}, NOW)
    with stores.database.write() as connection:
        connection.execute(update(tasks).values(status="completed"))
    store.delete("cats", NOW)
    assert holds.purge(NOW) == 0
    assert needed(holds, SHA, OTHER) == [SHA]
    stores.tasks.delete("t1", NOW)
    assert holds.purge(NOW) == 1
    assert needed(holds, SHA) == []


def test_killed_purge_is_completed_by_the_next(
    store: DatasetStore, holds: DatasetHolds, cats: Dataset, monkeypatch: pytest.MonkeyPatch
):
    dogs = store.create(Dataset(0, "dogs", None, None, (), None, NOW, NOW, None))
    holds.hold(cats.serial, {SHA: 5, OTHER: 6}, NOW)
    holds.hold(dogs.serial, {SHA: 5}, NOW)
    store.delete("cats", NOW)
    with monkeypatch.context() as patched:
        patched.setattr(DatasetHolds, "_remove_orphans", lambda self, table: None)
        assert holds.purge(NOW) == 1
    assert needed(holds, SHA, OTHER) == [SHA, OTHER]
    assert holds.purge(NOW) == 0
    assert needed(holds, SHA, OTHER) == [SHA]
    with store._database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(dataset_blobs)) == 1


def test_uploaded_files_are_needed(holds: DatasetHolds, database: Database):
    row = {"upload_id": "u", "place": "here", "metadata": {}, "status": "done", "sha256": SHA}
    with database.write() as connection:
        connection.execute(insert(uploads).values(created_at=0, updated_at=0, expires_at=0, **row))
    assert holds.needed([SHA, OTHER]) == {SHA}


def test_database_belongs_to_its_first_store(holds: DatasetHolds):
    assert holds.belongs_with("one")
    assert holds.belongs_with("one")
    assert not holds.belongs_with("another")
