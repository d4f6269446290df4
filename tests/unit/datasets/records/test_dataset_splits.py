"""Splits in the database are atomic."""

from dataclasses import replace

import pytest

from api.datasets.records.dataset_store import DatasetStore
from api.datasets.records.hold_store import DatasetHolds
from api.datasets.records.rows import NewVersion
from api.datasets.records.split_store import DatasetSplitStore, SplitSide
from api.db.database import Database
from api.domain.datasets.dataset import Dataset
from api.errors import DatasetChanged, DatasetExists
from tests.unit.db.builders import NOW

SHA, REST, MOVED = "a" * 64, "b" * 64, "c" * 64
CATS = Dataset(0, "cats", "ann", None, (), None, NOW, NOW, None)
DOGS = replace(CATS, name="dogs")
KEPT, GONE = NewVersion(REST, "ann", "rest", 2, 20), NewVersion(MOVED, "ann", "moved", 1, 10)


@pytest.fixture
def store(database: Database) -> DatasetStore:
    return DatasetStore(database)


@pytest.fixture
def cats(store: DatasetStore) -> Dataset:
    made = store.create(CATS)
    store.add_version(made.serial, NewVersion(SHA, "ann", "first", 3, 30), None, NOW)
    return store.get("cats")


def split(database: Database, cats: Dataset, target: Dataset) -> object:
    moved = replace(GONE, split_from=cats.serial, shared_bytes=10)
    sides = SplitSide(cats, KEPT, {REST: 5}), SplitSide(target, moved, {SHA: 10, MOVED: 3})
    return DatasetSplitStore(database).split(*sides, NOW, NOW)


def test_both_datasets_get_a_version_and_hold_its_blobs(database: Database, store: DatasetStore, cats: Dataset):
    stored, moved = split(database, cats, DOGS)
    assert ((stored.ordinal, stored.items), (moved.ordinal, moved.items)) == ((2, 2), (1, 1))
    assert store.get("dogs").stored_bytes == 13
    assert DatasetHolds(database).held(store.get("dogs").serial) == {SHA, MOVED}
    assert store.stored_by() == {"ann": 5 + 3}


def test_shared_bytes_count_in_full_for_two_owners(database: Database, store: DatasetStore, cats: Dataset):
    split(database, cats, replace(DOGS, owner="bob"))
    assert store.stored_by() == {"ann": 5, "bob": 13}


def test_neither_dataset_changes_if_one_cannot(database: Database, store: DatasetStore, cats: Dataset):
    dogs = store.create(DOGS)
    with pytest.raises(DatasetExists):
        split(database, cats, DOGS)
    for source, target in ((replace(cats, latest=7), dogs), (cats, replace(dogs, latest=7))):
        with pytest.raises(DatasetChanged):
            split(database, source, target)
    assert (store.get("cats").latest, store.get("dogs").latest) == (1, None)
    assert store.get("dogs").stored_bytes == 0
