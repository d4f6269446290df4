import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.access.key_ring import KeyRing
from api.access.store import CredentialStore
from api.db.database import Database, sqlite_url
from api.util.clock import FakeClock
from tests.unit.access.credentials import Credentials


@pytest.fixture
def sqlite(migrated_file: Path, tmp_path: Path) -> Iterator[Database]:
    shutil.copy(migrated_file, tmp_path / "database.sqlite")
    made = Database(sqlite_url(tmp_path / "database.sqlite"))
    yield made
    made.close()


@pytest.fixture
def store(sqlite: Database) -> CredentialStore:
    return CredentialStore(sqlite)


@pytest.fixture
def ring(store: CredentialStore, clock: FakeClock) -> KeyRing:
    made = KeyRing(store, clock)
    made.refresh()
    return made


@pytest.fixture
def credentials(store: CredentialStore, clock: FakeClock) -> Credentials:
    return Credentials(store, clock)
