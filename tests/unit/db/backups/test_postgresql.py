"""Dump and restore of PostgreSQL tables with its own programs, without a password on a command line."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from api.db.backups.file import BackupError
from api.db.backups.postgresql import PostgresTables
from api.db.database import Database
from api.db.tables import REVISION
from tests.databases import fresh_postgres

pytestmark = pytest.mark.slow


@pytest.fixture
def url() -> Iterator[str]:
    with fresh_postgres() as made:
        database = Database(made)
        database.migrate()
        database.close()
        yield made


@pytest.fixture
def tables(url: str) -> PostgresTables:
    return PostgresTables(make_url(url))


def _execute(url: str, statement: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(statement.encode())


def _names(url: str, schema: str = "public") -> list[str]:
    with psycopg.connect(url) as connection:
        return [str(name) for (name,) in connection.execute(f"SELECT name FROM {schema}.nodes ORDER BY 1".encode())]


def _name(url: str, name: str) -> None:
    _execute(url, f"INSERT INTO nodes (name, machine) VALUES ('{name}', '')")


def test_restored_tables_replace_the_present_ones_which_are_kept(url: str, tables: PostgresTables, tmp_path: Path):
    _name(url, "first")
    _execute(url, "INSERT INTO leadership VALUES ('queue', 7, 'a server', 0)")
    assert tables.dump(tmp_path / "dump") == REVISION
    _name(url, "second")
    assert tables.restore(tmp_path / "dump", "before", replaces=True) == "before"
    assert (_names(url), _names(url, "before")) == (["first"], ["first", "second"])
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT fence, holder FROM leadership").fetchall() == [(7, "")]
    # Numbers continue where they were.
    database = Database(url)
    database.migrate()
    database.close()


def test_empty_database_accepts_a_dump_without_force(url: str, tables: PostgresTables, tmp_path: Path):
    _name(url, "first")
    tables.dump(tmp_path / "dump")
    with fresh_postgres() as empty:
        with pytest.raises(BackupError, match="no tables of this service"):
            PostgresTables(make_url(empty)).dump(tmp_path / "none")
        assert PostgresTables(make_url(empty)).restore(tmp_path / "dump", "before", replaces=False) is None
        assert _names(empty) == ["first"]


def test_tables_are_replaced_only_with_force(url: str, tables: PostgresTables, tmp_path: Path):
    tables.dump(tmp_path / "dump")
    _name(url, "second")
    with pytest.raises(BackupError, match="--force"):
        tables.restore(tmp_path / "dump", "before", replaces=False)
    assert _names(url) == ["second"]


def test_failed_restore_changes_nothing(url: str, tables: PostgresTables, tmp_path: Path):
    _name(url, "first")
    (tmp_path / "dump").write_bytes(b"no dump")
    with pytest.raises(BackupError, match="pg_restore failed"):
        tables.restore(tmp_path / "dump", "before", replaces=True)
    assert _names(url) == ["first"]
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT to_regnamespace('before')").fetchone() == (None,)


def test_database_with_open_connections_is_not_replaced(url: str, tables: PostgresTables, tmp_path: Path):
    tables.dump(tmp_path / "dump")
    with (
        psycopg.connect(url, application_name="a colleague"),
        pytest.raises(BackupError, match=r"other connections to the database are open .*a colleague"),
    ):
        tables.restore(tmp_path / "dump", "before", replaces=True)


def test_unknown_tables_are_not_touched(url: str, tables: PostgresTables, tmp_path: Path):
    tables.dump(tmp_path / "dump")
    _execute(url, "CREATE TABLE of_a_newer_version (a int)")
    with pytest.raises(BackupError, match="of_a_newer_version"):
        tables.restore(tmp_path / "dump", "before", replaces=True)


def test_password_is_on_no_command_line_and_in_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = tmp_path / "pg_dump"
    script = 'echo "$@" > {0}; env >> {0}; echo password=pass-word >&2; exit 1'.format(tmp_path / "seen")
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    tables = PostgresTables(make_url("postgresql+psycopg://me:pass-word@nowhere/db"))
    with pytest.raises(BackupError) as raised:
        tables._run("pg_dump", ["--version"])
    seen = (tmp_path / "seen").read_text()
    assert "host=nowhere" in seen
    assert "passfile=" in seen
    assert "pass-word" not in seen + str(raised.value)
