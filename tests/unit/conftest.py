import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from api.db.database import Database, sqlite_url
from api.gpus.service import GPUService
from api.gpus.sharing.registration_store import MemoryRegistrations
from api.gpus.sources.source import FakeSource
from api.util.clock import FakeClock
from tests.databases import BACKENDS, FEW, empty, fresh_postgres, hurry
from tests.unit.db.builders import Stores
from tests.unit.trainings import TrainingMachine


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with empty tables to copy, which is faster than a migration."""
    path = tmp_path_factory.mktemp("migrated") / "database.sqlite"
    database = Database(sqlite_url(path))
    database.migrate()
    # The last connection merges the write-ahead log into the file.
    database.close()
    return path


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


#: Packages whose services start and stop threads.
THREADED = {"access", "alerts", "catalog", "datasets", "events", "gpus", "logs", "nodes", "training"}


@pytest.fixture(autouse=True)
def _no_thread_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    if not THREADED.intersection(request.path.parts):
        yield
        return
    before = set(threading.enumerate())
    yield
    left = [thread for thread in set(threading.enumerate()) - before if thread.is_alive()]
    for thread in left:
        thread.join(5)
    assert [thread.name for thread in left if thread.is_alive()] == []


@pytest.fixture
def source() -> FakeSource:
    return FakeSource(count=2)


@pytest.fixture
def service(source: FakeSource, clock: FakeClock) -> Iterator[GPUService]:
    made = GPUService(source, MemoryRegistrations(), clock)
    yield made
    made.stop_monitoring()


@pytest.fixture
def sweep(service: GPUService) -> Callable[[], None]:
    return service._monitor.sweep


@pytest.fixture
def machine(migrated_file: Path, tmp_path: Path, clock: FakeClock) -> Iterator[TrainingMachine]:
    """A machine with four GPUs without any task."""
    shutil.copy(migrated_file, tmp_path / "database.sqlite")
    database = Database(sqlite_url(tmp_path / "database.sqlite"))
    made = TrainingMachine(database, tmp_path, clock)
    yield made
    made.close()
    database.close()
