import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from api.db.database import Database, sqlite_url
from api.gpus.registration_store import MemoryRegistrations
from api.gpus.service import GPUService
from api.gpus.sources.source import FakeSource
from api.util.clock import FakeClock
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
