"""A SQLite database is copied while in use, and replaced only while not in use."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from api.db.backups.file import BackupError
from api.db.backups.sqlite import copy_sqlite, prepare_sqlite, replace_sqlite
from api.db.database import Database, sqlite_url
from api.db.tables import REVISION


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "database.sqlite"
    database = Database(sqlite_url(path))
    database.migrate()
    database.close()
    return path


@pytest.fixture
def user(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection that has it open, like a server."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        _name(connection, "first")
        yield connection


def _name(connection: sqlite3.Connection, name: str) -> None:
    connection.execute("INSERT INTO nodes (name, machine) VALUES (?, '')", [name])


def _names(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [name for (name,) in connection.execute("SELECT name FROM nodes ORDER BY name")]


def test_copy_has_committed_rows_and_none_of_an_open_transaction(file: Path, user: sqlite3.Connection, tmp_path: Path):
    user.execute("BEGIN IMMEDIATE")
    _name(user, "second")
    assert copy_sqlite(file, tmp_path / "copy") == REVISION
    user.execute("COMMIT")
    assert _names(tmp_path / "copy") == ["first"]
    assert not list(tmp_path.glob("copy-*"))
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600


def test_missing_database_is_not_created(tmp_path: Path):
    with pytest.raises(BackupError, match="cannot be copied"):
        copy_sqlite(tmp_path / "absent", tmp_path / "copy")
    assert not (tmp_path / "absent").exists()


def test_damaged_copy_is_not_used(tmp_path: Path):
    (tmp_path / "copy").write_bytes(b"SQLite format 3\0" + bytes(4000))
    with pytest.raises(BackupError):
        prepare_sqlite(tmp_path / "copy")


def test_prepared_copy_has_no_leaders(file: Path):
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("INSERT INTO leadership VALUES ('queue', 7, 'a server', 0)")
    prepare_sqlite(file)
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT fence, holder FROM leadership").fetchall() == [(7, "")]


def test_replaced_database_is_kept_with_the_content_of_its_log(file: Path, user: sqlite3.Connection, tmp_path: Path):
    copy_sqlite(file, tmp_path / "copy")
    _name(user, "second")
    user.close()
    stored = replace_sqlite(file, tmp_path / "copy", ".before")
    assert stored == tmp_path / "database.sqlite.before"
    assert _names(stored) == ["first", "second"]
    assert _names(file) == ["first"]


def test_old_log_does_not_change_the_new_database(file: Path, tmp_path: Path):
    copy_sqlite(file, tmp_path / "copy")
    file.unlink()
    (tmp_path / "database.sqlite-wal").write_bytes(b"of another")
    assert replace_sqlite(file, tmp_path / "copy", ".before") is None
    assert not (tmp_path / "database.sqlite-wal").exists()
    assert (tmp_path / "database.sqlite.before-wal").read_bytes() == b"of another"


def test_open_database_is_not_replaced(file: Path, user: sqlite3.Connection, tmp_path: Path):
    copy_sqlite(file, tmp_path / "copy")
    with pytest.raises(BackupError, match="in use"):
        replace_sqlite(file, tmp_path / "copy", ".before")
    _name(user, "second")
    assert _names(file) == ["first", "second"]


def test_damaged_database_can_be_replaced_and_is_kept_unchanged(file: Path, tmp_path: Path):
    copy_sqlite(file, tmp_path / "copy")
    file.write_bytes(b"no database at all" * 300)
    stored = replace_sqlite(file, tmp_path / "copy", ".before")
    assert stored is not None
    assert stored.read_bytes() == b"no database at all" * 300
    assert _names(file) == []


def damage_schema(file: Path) -> None:
    """Put a byte that is not UTF-8 into the name of a table, so that SQLite's own message cannot be decoded."""
    content = bytearray(file.read_bytes())
    content[content.index(b"tablenodesnodes") + len("tablen")] = 0xFF
    file.write_bytes(content)


def test_schema_that_is_not_utf_8_is_damage_to_every_command(file: Path, tmp_path: Path):
    copy_sqlite(file, tmp_path / "copy")
    damage_schema(file)
    with pytest.raises(BackupError, match="cannot be copied"):
        copy_sqlite(file, tmp_path / "second")
    with pytest.raises(BackupError, match="cannot be read"):
        prepare_sqlite(file)
    assert replace_sqlite(file, tmp_path / "copy", ".before") == tmp_path / "database.sqlite.before"
    assert _names(file) == []


@pytest.mark.parametrize("step", ["replace", "link"])
def test_killed_restore_leaves_a_database(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str):
    copy_sqlite(file, tmp_path / "copy")
    with closing(sqlite3.connect(file)) as connection, connection:
        _name(connection, "former")

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, step, killed)
    with pytest.raises(KeyboardInterrupt):
        replace_sqlite(file, tmp_path / "copy", ".before")
    assert _names(file) == ["former"]


def test_previous_database_is_copied_if_hard_links_are_not_supported(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    copy_sqlite(file, tmp_path / "copy")
    with closing(sqlite3.connect(file)) as connection, connection:
        _name(connection, "former")

    def refuse(*arguments: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    stored = replace_sqlite(file, tmp_path / "copy", ".before")
    assert stored is not None
    assert (_names(stored), _names(file)) == (["former"], [])
