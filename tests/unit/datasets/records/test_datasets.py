from dataclasses import replace

import pytest
from sqlalchemy import insert

from api.datasets.records.dataset_store import DatasetFilter, DatasetStore
from api.datasets.records.hold_store import DatasetHolds
from api.datasets.records.rows import NewVersion
from api.db.database import Database
from api.db.dataset_tables import dataset_pins
from api.domain.access.read_scope import ReadScope, seeing
from api.domain.datasets.dataset import Dataset
from api.errors import DatasetChanged, DatasetExists, DatasetInUse, DatasetNotFound
from api.util.http.pagination import PageRequest
from tests.unit.db.builders import NOW, Stores, later, new_task

SHA, OTHER = "a" * 64, "b" * 64
CATS = Dataset(0, "cats", "ann", "tabby", ("animals",), None, NOW, NOW, None)
VERSION = NewVersion(SHA, "ann", "first", 2, 10)


@pytest.fixture
def store(database: Database) -> DatasetStore:
    return DatasetStore(database)


@pytest.fixture
def cats(store: DatasetStore) -> Dataset:
    return store.create(CATS)


def pin(database: Database, dataset: Dataset, task_id: str = "t1") -> None:
    with database.write() as connection:
        row = {"task_id": task_id, "manifest": SHA, "dataset": dataset.serial, "ordinal": 1, "name": dataset.name}
        connection.execute(insert(dataset_pins).values(row))


def test_dataset_is_read_as_it_was_created(store: DatasetStore, cats: Dataset):
    assert store.get("cats") == cats
    assert store.get_by_serial(cats.serial) == cats


def test_taken_name_is_reported_on_creation_and_rename(store: DatasetStore, cats: Dataset):
    with pytest.raises(DatasetExists):
        store.create(CATS)
    store.create(replace(CATS, name="dogs"))
    with pytest.raises(DatasetExists, match="cats"):
        store.change("dogs", {"name": "cats"}, NOW)


def test_lists_are_searched_within_the_callers_scope(store: DatasetStore, cats: Dataset):
    store.create(replace(CATS, name="dogs", owner="bob", description=None))
    names = [row.name for row in store.page(DatasetFilter(), PageRequest(10)).rows]
    assert names == ["dogs", "cats"]
    for wanted in (DatasetFilter(search="TAB"), DatasetFilter(owner="ann"), DatasetFilter(seen_by="ann")):
        page = store.page(wanted, PageRequest(10))
        rows, total = page.rows, page.pagination.total
        assert ([row.name for row in rows], total) == (["cats"], 1)


@pytest.mark.parametrize(
    ("search", "found"), [("NIMAL", True), ("big, old", True), ("猫", True), ('say "cat"', True), ("[", False)]
)
def test_lists_are_searched_by_tags(store: DatasetStore, search: str, found: bool):
    store.create(replace(CATS, tags=("animals", "big, old", "猫咪", 'say "cat"')))
    store.create(replace(CATS, name="dogs", tags=()))
    page = store.page(DatasetFilter(search=search), PageRequest(10))
    rows, total = page.rows, page.pagination.total
    assert ([row.name for row in rows], total) == ((["cats"], 1) if found else ([], 0))


def test_comma_separates_tags(store: DatasetStore):
    store.create(replace(CATS, tags=("a", "b")))
    assert store.page(DatasetFilter(search=","), PageRequest(10)).rows == ()


def test_items_of_the_newest_version_are_counted(store: DatasetStore, cats: Dataset):
    assert store.get("cats").items is None
    store.add_version(cats.serial, VERSION, None, NOW)
    store.add_version(cats.serial, replace(VERSION, manifest_sha256=OTHER, items=3), 1, NOW)
    store.create(replace(CATS, name="dogs"))
    assert [row.items for row in store.page(DatasetFilter(), PageRequest(10)).rows] == [None, 3]
    assert store.change("cats", {"tags": ["x"]}, NOW).items == 3


def test_manifests_of_all_versions_are_counted_once(database: Database, store: DatasetStore, cats: Dataset):
    holds = DatasetHolds(database)
    for latest, blobs in ((None, {SHA: 5, "c" * 64: 100}), (1, {OTHER: 7})):
        claim = holds.hold(cats.serial, blobs, NOW)
        made = replace(VERSION, manifest_sha256=next(iter(blobs)), claim=claim, claimed_blobs=len(blobs))
        store.add_version(cats.serial, made, latest, NOW)
    store.add_version(cats.serial, VERSION, 2, NOW)  # the first one again
    assert holds.manifest_bytes(cats.serial) == 12


def test_list_continues_after_its_cursor(store: DatasetStore, cats: Dataset):
    dogs = store.create(replace(CATS, name="dogs"))
    assert [row.name for row in store.page(DatasetFilter(), PageRequest(1, cursor=str(dogs.serial))).rows] == ["cats"]
    assert [row.name for row in store.page(DatasetFilter(), PageRequest(1, offset=1)).rows] == ["cats"]


def test_versions_are_consecutive_and_none_is_lost(store: DatasetStore, cats: Dataset):
    store.add_version(cats.serial, VERSION, None, NOW)
    store.add_version(cats.serial, replace(VERSION, manifest_sha256=OTHER), 1, later(1))
    with pytest.raises(DatasetChanged) as refused:
        store.add_version(cats.serial, VERSION, 1, later(2))
    assert refused.value.data == {"latest": 2}
    assert [version.ordinal for version in store.versions(cats.serial, PageRequest(10)).rows] == [2, 1]
    assert store.find_version(cats.serial, OTHER).ordinal == 2


def test_deleted_dataset_accepts_no_version(store: DatasetStore, cats: Dataset):
    store.delete("cats", NOW)
    with pytest.raises(DatasetNotFound):
        store.add_version(cats.serial, VERSION, None, NOW)


def test_dataset_used_by_an_unfinished_task_is_not_deleted(store: DatasetStore, cats: Dataset, stores: Stores):
    stores.tasks.create(new_task(), NOW, "ann")
    pin(stores.database, cats)
    with pytest.raises(DatasetInUse) as refused:
        store.delete("cats", NOW)
    assert refused.value.data == {"tasks": ["t1"]}


def test_name_is_free_once_its_dataset_is_deleted(store: DatasetStore, cats: Dataset):
    store.delete("cats", NOW)
    with pytest.raises(DatasetNotFound):
        store.get("cats")
    assert store.create(CATS).serial > cats.serial


def test_bytes_are_counted_by_owner(database: Database, store: DatasetStore, cats: Dataset):
    holds = DatasetHolds(database)
    claim = holds.hold(cats.serial, {SHA: 5, OTHER: 7}, NOW)
    store.add_version(cats.serial, replace(VERSION, claim=claim, claimed_blobs=2), None, NOW)
    assert store.get("cats").stored_bytes == 12
    assert store.stored_by() == store.stored_by(["ann"]) == {"ann": 12}
    assert holds.held(cats.serial) == {SHA, OTHER}


def test_users_who_cannot_see_a_task_learn_only_that_there_is_one(store: DatasetStore, cats: Dataset, stores: Stores):
    stores.tasks.create(new_task(owner="root"), NOW, "root")
    stores.tasks.create(new_task("t2", owner="ann"), NOW, "ann")
    for task_id in ("t1", "t2"):
        pin(stores.database, cats, task_id)
    with seeing(ReadScope("ann", sees_all=False, sees_commands=False)):
        assert store.users(cats.serial) == ["another user's task", "t2"]
        with pytest.raises(DatasetInUse) as refused:
            store.delete("cats", NOW)
    assert refused.value.data == {"tasks": ["another user's task", "t2"]}
