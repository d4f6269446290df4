"""A damaged SQLite file is reported with its name and a remedy, never as an unexpected error."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from api.db.database import Database, sqlite_url
from api.db.database_url import DatabaseError
from api.errors import DatabaseDamaged
from tests.unit.db.backups.test_sqlite import damage_schema
from tests.unit.db.test_database import append


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "database.sqlite"
    database = Database(sqlite_url(path))
    database.migrate()
    with database.write() as connection:
        for _ in range(200):
            append(connection, "a" * 500)
    database.close()
    with closing(sqlite3.connect(path)) as driver:
        driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def damage(path: Path) -> None:
    """Damage everything except the first page, which has the schema, so that the file opens."""
    content = bytearray(path.read_bytes())
    content[3 * 4096 :] = b"\xa5" * (len(content) - 3 * 4096)
    path.write_bytes(content)


def read_all(connection: Connection) -> None:
    connection.execute(text("PRAGMA cache_size = 0"))
    connection.execute(text("SELECT sum(length(message)) FROM events")).all()


def test_damaged_file_is_refused_at_the_start_with_a_remedy(path: Path):
    damage(path)
    with pytest.raises(DatabaseError, match=r"database\.sqlite is damaged \(.*restore FILE --force.*\.recover"):
        Database(sqlite_url(path)).migrate()


def test_later_damage_is_reported_until_the_next_start(path: Path):
    database = Database(sqlite_url(path))
    database.migrate()
    damage(path)
    with pytest.raises(DatabaseDamaged, match=r"damaged .*\.recover"), database.read() as connection:
        read_all(connection)
    assert isinstance(database.find_trouble(), DatabaseDamaged)
    database.close()


def test_unread_damage_is_found_within_an_hour(path: Path, monkeypatch: pytest.MonkeyPatch):
    database = Database(sqlite_url(path))
    database.migrate()
    pages = bytearray(path.read_bytes())
    last = pages.rindex(b"a" * 500) // 4096 * 4096
    pages[last : last + 4096] = bytes(4096)
    path.write_bytes(pages)
    monkeypatch.setattr("api.db.database.RECHECK_SECONDS", 0.0)
    assert database.find_trouble() is None
    monkeypatch.setattr("api.db.database.CHECK_PAGES_SECONDS", 0.0)
    found = database.find_trouble()
    assert isinstance(found, DatabaseDamaged)
    assert ".recover" in str(found)
    assert isinstance(database.find_trouble(), DatabaseDamaged)
    database.close()


def test_damage_by_a_temporary_disk_fault_ends_with_it(path: Path):
    database = Database(sqlite_url(path))
    database.migrate()
    fault = sqlite3.DatabaseError("database disk image is malformed")
    fault.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    with pytest.raises(DatabaseDamaged), database.read():
        raise fault
    assert database.find_trouble() is None
    with database.read() as connection:
        read_all(connection)
    database.close()


def test_schema_that_is_not_utf_8_is_refused_at_the_start_with_a_remedy(path: Path):
    damage_schema(path)
    with pytest.raises(DatabaseError, match=r"is damaged \(text that is not UTF-8.*restore FILE --force"):
        Database(sqlite_url(path)).migrate()


def test_table_with_a_missing_column_is_damage(path: Path):
    content = path.read_bytes()
    path.write_bytes(content.replace(b"priority INTEGER NOT NULL", b"priorixy INTEGER NOT NULL"))
    with pytest.raises(DatabaseError, match="the table tasks has no column priority"):
        Database(sqlite_url(path)).migrate()


def test_running_server_refuses_changes_once_the_schema_is_unreadable(path: Path):
    database = Database(sqlite_url(path))
    database.migrate()
    with database.write() as connection:
        connection.execute(text("INSERT INTO nodes (name, machine) VALUES ('before', '')"))
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.exec_driver_sql("BEGIN")
    damage_schema(path)
    assert isinstance(database.find_trouble(), DatabaseDamaged)
    with pytest.raises(DatabaseDamaged), database.write():
        pass
