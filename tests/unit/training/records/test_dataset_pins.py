import pytest

from api.datasets.records.dataset_store import DatasetStore
from api.db.database import Database
from api.domain.datasets.dataset import Dataset, PinnedDataset
from api.errors import DatasetNotFound
from api.training.records.task_store import pin_datasets
from tests.unit.db.builders import NOW

SHA, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def store(database: Database) -> DatasetStore:
    return DatasetStore(database)


@pytest.fixture
def cats(store: DatasetStore) -> Dataset:
    return store.create(Dataset(0, "cats", None, None, (), None, NOW, NOW, None))


def pin(database: Database, dataset: Dataset, sha: str = SHA, task_id: str = "t1", twice: bool = False) -> None:
    made = PinnedDataset(dataset.name, 1, f"sha256:{sha}", 3, dataset.serial)
    with database.write() as connection:
        pin_datasets(connection, task_id, [made, made] if twice else [made])


def manifests(store: DatasetStore, task_id: str = "t1") -> list[str]:
    return [found.manifest_sha256 for found in store.pins_of([task_id])]


def test_task_uses_what_was_pinned_last(database: Database, store: DatasetStore, cats: Dataset):
    pin(database, cats, twice=True)
    assert manifests(store) == [SHA]
    pin(database, cats, OTHER)
    assert manifests(store) == [OTHER]


def test_deleted_dataset_is_not_pinned(database: Database, store: DatasetStore, cats: Dataset):
    store.delete("cats", NOW)
    with pytest.raises(DatasetNotFound, match="cats was deleted meanwhile"):
        pin(database, cats)
    assert manifests(store) == []


def test_other_tasks_may_use_the_pinned_version_of_a_deleted_dataset(
    database: Database, store: DatasetStore, cats: Dataset
):
    pin(database, cats)
    store.delete("cats", NOW)
    pin(database, cats, task_id="t2")
    assert manifests(store, "t2") == [SHA]
    with pytest.raises(DatasetNotFound):
        pin(database, cats, OTHER, "t3")


def test_tasks_are_listed_with_the_versions_they_use(database: Database, store: DatasetStore, cats: Dataset):
    pin(database, cats)
    assert store.used_by(["t1", "t2"]) == {"t1": "cats@1"}
