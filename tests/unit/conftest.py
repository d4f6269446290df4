from pathlib import Path

import pytest

from api.storage.database import Database, sqlite_url


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with empty tables, to be copied: that is quicker than a migration."""
    path = tmp_path_factory.mktemp("migrated") / "database.sqlite"
    database = Database(sqlite_url(path))
    database.migrate()
    # The last connection takes the write-ahead log back into the file.
    database.close()
    return path
