from collections.abc import Iterator
from pathlib import Path

import pytest

from api.catalog.registry.models import NewModelVersion
from api.catalog.registry.store import RegistryStore
from api.db.database import Database, sqlite_url
from api.samples.links.store import LinkedVersions
from tests.unit.db.builders import NOW


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(sqlite_url(tmp_path / "d.sqlite"), tmp_path)
    made.migrate()
    yield made
    made.close()


def test_links_name_a_models_files_and_the_models_with_aliases(database: Database):
    store, links = RegistryStore(database), LinkedVersions(database)
    for name, digit, aliases in (("cats", "a", ["prod"]), ("dogs", "b", [])):
        store.ensure(name, None, NOW)
        new = NewModelVersion("c" * 63 + digit, 1, "api", "", None, (), {}, {})
        store.add_version(name, new, aliases, NOW)
    assert links.aliased() == ["cats"]
    found = [
        links.has(*pair) for pair in (("cats", "c" * 63 + "a"), ("cats", "c" * 63 + "b"), ("none", "c" * 63 + "a"))
    ]
    assert found == [True, False, False]


def test_file_has_the_owners_of_all_its_models(database: Database):
    store, links = RegistryStore(database), LinkedVersions(database)
    for name, owner in (("cats", "ann"), ("dogs", "bob"), ("birds", None)):
        store.ensure(name, owner, NOW)
        store.add_version(name, NewModelVersion("c" * 64, 1, "api", "", None, (), {}, {}), [], NOW)
    assert sorted(map(str, links.owners_of("c" * 64))) == ["None", "ann", "bob"]
    assert links.owners_of("d" * 64) == []


def test_links_of_other_models_are_found_by_name(database: Database):
    store, links = RegistryStore(database), LinkedVersions(database)
    for name, alias in (("cats", "big-prod"), ("dogs", "prod")):
        store.ensure(name, None, NOW)
        store.add_version(name, NewModelVersion("c" * 64, 1, "api", "", None, (), {}, {}), [alias], NOW)
    assert links.others_named(["cats-big-prod", "dogs-test"], "cats-big") == ["cats-big-prod"]
    assert links.others_named(["cats-big-prod"], "cats") == []
    assert links.others_named([], "cats-big") == []
