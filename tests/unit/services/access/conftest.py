import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.services.access.key_ring import KeyRing
from api.storage.database import Database, sqlite_url
from api.storage.keys import CredentialStore
from api.utils.clock import FakeClock
from tests.unit.services.access.credentials import Credentials


@pytest.fixture
def database(migrated_file: Path, tmp_path: Path) -> Iterator[Database]:
    shutil.copy(migrated_file, tmp_path / "database.sqlite")
    made = Database(sqlite_url(tmp_path / "database.sqlite"))
    yield made
    made.close()


@pytest.fixture
def store(database: Database) -> CredentialStore:
    return CredentialStore(database)


@pytest.fixture
def ring(store: CredentialStore, clock: FakeClock) -> KeyRing:
    made = KeyRing(store, clock)
    made.refresh()
    return made


@pytest.fixture
def credentials(store: CredentialStore, clock: FakeClock) -> Credentials:
    return Credentials(store, clock)
