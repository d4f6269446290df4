from dataclasses import replace

import pytest
from sqlalchemy import update

from api.catalog.registry.models import NewModelVersion
from api.catalog.registry.store import RegistryStore
from api.db.database import Database
from api.db.tables import tasks
from api.errors import ModelExists, ModelVersionNotFound, RegisteredModelNotFound, VersionInUse
from api.util.http.pagination import PageRequest
from tests.unit.db.builders import NOW, Stores, later, new_task

SHA, OTHER = "a" * 64, "b" * 64
NEW = NewModelVersion(SHA, 10, "ann", "epoch12", "sharp", ("x",), {"task_id": "t1"}, {"rank": 16})


@pytest.fixture
def store(database: Database) -> RegistryStore:
    return RegistryStore(database)


@pytest.fixture
def cats(store: RegistryStore) -> RegistryStore:
    store.ensure("cats", "ann", NOW)
    store.add_version("cats", NEW, ["prod"], NOW)
    store.add_version("cats", replace(NEW, sha256=OTHER, stem=""), [], later(1))
    return store


def test_versions_are_numbered_and_have_a_download_name(cats: RegistryStore):
    page = cats.versions("cats", PageRequest(10))
    rows, total = page.rows, page.pagination.total
    assert [(row.ordinal, row.file_name) for row in rows] == [
        (2, "cats-v2.safetensors"),
        (1, "cats-v1-epoch12.safetensors"),
    ]
    assert total == 2
    assert rows[1].aliases == ("prod",)
    assert (rows[1].origin, rows[1].format, rows[1].tags) == ({"task_id": "t1"}, {"rank": 16}, ("x",))


def test_version_is_found_by_number_alias_and_latest(cats: RegistryStore):
    assert [cats.get_version("cats", name).ordinal for name in ("1", "prod", "latest")] == [1, 1, 2]
    for absent in ("3", "test", "99999999999", "²"):
        with pytest.raises(ModelVersionNotFound):
            cats.get_version("cats", absent)
    with pytest.raises(RegisteredModelNotFound):
        cats.get_version("dogs", "1")


def test_alias_moves_from_one_version_to_another(cats: RegistryStore):
    cats.change_version("cats", "2", {"notes": "new"}, ["prod", "test"], later(2))
    found = cats.get("cats")
    assert found.aliases == {"prod": 2, "test": 2}
    assert cats.get_version("cats", "2").notes == "new"
    cats.change_version("cats", "2", {}, [], later(3))
    assert cats.get("cats").aliases == {}


def test_needed_version_is_not_deleted(cats: RegistryStore, stores: Stores, database: Database):
    with pytest.raises(VersionInUse):
        cats.delete_version("cats", "1")
    with pytest.raises(VersionInUse):
        cats.delete("cats")
    stores.tasks.create(new_task(), NOW, "ann")
    with database.write() as connection:
        request = {"config": {"adapter": {"init_from_existing": f"/x/{OTHER}"}}}
        connection.execute(update(tasks).values(request=request))
    with pytest.raises(VersionInUse) as refused:
        cats.delete_version("cats", "2")
    assert refused.value.data == {"tasks": ["t1"]}


def test_number_of_a_deleted_version_is_not_reused(cats: RegistryStore):
    assert cats.delete_version("cats", "latest") == 2
    assert cats.add_version("cats", NEW, [], later(2)).ordinal == 3
    assert cats.needed([SHA, OTHER]) == {SHA}
    assert cats.needed([]) == set()


def test_model_is_deleted_with_its_versions(cats: RegistryStore):
    cats.change_version("cats", "1", {}, [], NOW)
    cats.delete("cats")
    assert cats.needed([SHA, OTHER]) == set()
    with pytest.raises(RegisteredModelNotFound):
        cats.get("cats")


def test_lists_are_searched_within_the_callers_scope(cats: RegistryStore):
    cats.ensure("dogs", "bob", NOW)
    cats.change("cats", {"description": "tabby", "tags": ["animals"]}, NOW)
    assert [row.name for row in cats.page(PageRequest(10)).rows] == ["dogs", "cats"]
    for wanted in ({"search": "TAB"}, {"owner": "ann"}, {"tag": "animals"}, {"seen_by": "ann"}):
        page = cats.page(PageRequest(10), **wanted)
        rows, total = page.rows, page.pagination.total
        assert ([row.name for row in rows], total) == (["cats"], 1)
    (found,) = cats.page(PageRequest(10), tag="animals").rows
    assert (found.versions, found.latest, found.aliases) == (2, 2, {"prod": 1})
    assert cats.latest_of([found])[found.serial].ordinal == 2
    assert cats.page(PageRequest(10), tag="anim").rows == ()


def test_list_continues_after_its_cursor(cats: RegistryStore):
    dogs = cats.ensure("dogs", "bob", NOW)
    assert [row.name for row in cats.page(PageRequest(1, cursor=str(dogs.serial))).rows] == ["cats"]
    assert [row.name for row in cats.page(PageRequest(1, offset=1)).rows] == ["cats"]
    assert [row.ordinal for row in cats.versions("cats", PageRequest(1, cursor="2")).rows] == [1]


def test_taken_name_is_reported(cats: RegistryStore):
    cats.ensure("dogs", "bob", NOW)
    assert cats.ensure("dogs", "ann", NOW).owner == "bob"
    with pytest.raises(ModelExists):
        cats.change("dogs", {"name": "cats"}, NOW)
    assert cats.change("dogs", {"name": "wolves"}, NOW).name == "wolves"


def test_database_belongs_to_its_first_file_store(store: RegistryStore):
    assert store.belongs_with("one")
    assert store.belongs_with("one")
    assert not store.belongs_with("two")
