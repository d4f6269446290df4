"""A database of each kind, with empty tables."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.db.database import Database, sqlite_url
from tests.databases import BACKENDS, FEW, empty, fresh_postgres, hurry
from tests.unit.db.builders import Stores


@pytest.fixture(scope="session")
def migrated_postgres() -> Iterator[Database]:
    """One PostgreSQL database with tables per test process."""
    with fresh_postgres() as url:
        database = Database(url, pool_size=FEW)
        hurry(database)
        database.migrate()
        yield database
        database.close()


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """The name of a kind of database."""
    return str(request.param)


@pytest.fixture
def database(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with empty tables."""
    if backend == "postgresql":
        shared: Database = request.getfixturevalue("migrated_postgres")
        empty(shared)
        yield shared
        shared._on_append.clear()  # listeners belong to the previous test
        return
    path = tmp_path / "database.sqlite"
    shutil.copy(request.getfixturevalue("migrated_file"), path)
    own = Database(sqlite_url(path))
    hurry(own)
    yield own
    own.close()


@pytest.fixture
def url(backend: str, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without tables."""
    if backend == "postgresql":
        with fresh_postgres() as fresh:
            yield fresh
    else:
        yield sqlite_url(tmp_path / "database.sqlite")


@pytest.fixture
def stores(database: Database) -> Stores:
    return Stores(database)
