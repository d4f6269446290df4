from collections.abc import Iterator
from pathlib import Path

import pytest

from api.models.registry import NewModelVersion
from api.storage.database import Database, sqlite_url
from api.storage.registry import RegistryStore
from api.storage.registry_links import LinkedVersions
from tests.unit.storage.builders import NOW


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(sqlite_url(tmp_path / "d.sqlite"), tmp_path)
    made.migrate()
    yield made
    made.close()


def test_links_know_the_files_of_a_model_and_which_models_have_aliases(database: Database):
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
