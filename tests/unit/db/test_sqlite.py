"""A damaged SQLite file is named, with how to restore; nothing about it is an unforeseen error."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from api.db.database import Database, sqlite_url
from api.db.database_url import DatabaseError
from api.errors import DatabaseDamaged
from tests.unit.db.test_database import append
from tests.unit.db.test_sqlite_backup import damage_schema


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
    """Everything but the first page, which holds the schema, so that it opens well."""
    content = bytearray(path.read_bytes())
    content[3 * 4096 :] = b"\xa5" * (len(content) - 3 * 4096)
    path.write_bytes(content)


def read_all(connection: Connection) -> None:
    connection.execute(text("PRAGMA cache_size = 0"))
    connection.execute(text("SELECT sum(length(message)) FROM events")).all()


def test_damaged_file_is_refused_at_start_with_what_to_do(path: Path):
    damage(path)
    with pytest.raises(DatabaseError, match=r"database\.sqlite is damaged \(.*restore FILE --force.*\.recover"):
        Database(sqlite_url(path)).migrate()


def test_damage_that_comes_later_is_told_until_the_next_start(path: Path):
    database = Database(sqlite_url(path))
    database.migrate()
    damage(path)
    with pytest.raises(DatabaseDamaged, match=r"damaged .*\.recover"), database.read() as connection:
        read_all(connection)
    assert isinstance(database.find_trouble(), DatabaseDamaged)
    database.close()


def test_damage_that_nobody_reads_is_found_within_an_hour(path: Path, monkeypatch: pytest.MonkeyPatch):
    database = Database(sqlite_url(path))
    database.migrate()
    pages = bytearray(path.read_bytes())
    last = pages.rindex(b"a" * 500) // 4096 * 4096
    pages[last : last + 4096] = bytes(4096)
    path.write_bytes(pages)
    monkeypatch.setattr("api.db.database.LOOK_AGAIN_SECONDS", 0.0)
    assert database.find_trouble() is None
    monkeypatch.setattr("api.db.database.LOOK_AT_PAGES_SECONDS", 0.0)
    found = database.find_trouble()
    assert isinstance(found, DatabaseDamaged)
    assert ".recover" in str(found)
    assert isinstance(database.find_trouble(), DatabaseDamaged)
    database.close()


def test_damage_that_a_passing_fault_of_the_disk_showed_ends_with_it(path: Path):
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


def test_schema_that_is_not_utf_8_is_refused_at_start_with_what_to_do(path: Path):
    damage_schema(path)
    with pytest.raises(DatabaseError, match=r"is damaged \(text that is not UTF-8.*restore FILE --force"):
        Database(sqlite_url(path)).migrate()


def test_table_without_one_of_its_columns_is_damage(path: Path):
    content = path.read_bytes()
    path.write_bytes(content.replace(b"priority INTEGER NOT NULL", b"priorixy INTEGER NOT NULL"))
    with pytest.raises(DatabaseError, match="the table tasks has no column priority"):
        Database(sqlite_url(path)).migrate()


def test_running_server_refuses_changes_once_no_start_could_read_the_schema(path: Path):
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
