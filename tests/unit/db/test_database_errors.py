"""What drivers raise, as the service's own errors."""

import sqlite3

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.db.database_errors import PROMOTE, is_access, say, translate
from api.errors import DatabaseDamaged, DatabaseUnavailable, StorageFull


@pytest.mark.parametrize("kind", [sqlite3.DatabaseError, psycopg.InternalError, psycopg.ProgrammingError])
def test_every_error_of_a_driver_is_the_databases(kind: type[Exception]):
    assert type(translate(DBAPIError("SELECT", None, kind("odd")))) is DatabaseUnavailable  # type: ignore[arg-type]
    assert type(translate(kind("odd"))) is DatabaseUnavailable


def test_refused_values_are_their_callers():
    assert translate(IntegrityError("INSERT", None, sqlite3.IntegrityError("UNIQUE"))) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (psycopg.errors.DiskFull("no space"), StorageFull),
        (psycopg.errors.DataCorrupted("page"), DatabaseDamaged),
        (psycopg.errors.IndexCorrupted("index"), DatabaseDamaged),
    ],
)
def test_trouble_of_postgresql_is_told_by_its_kind(error: Exception, expected: type[Exception]):
    assert type(translate(error)) is expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (sqlite3.SQLITE_CORRUPT, DatabaseDamaged),
        (sqlite3.SQLITE_NOTADB, DatabaseDamaged),
        (sqlite3.SQLITE_CORRUPT | (1 << 8), DatabaseDamaged),
        (sqlite3.SQLITE_FULL, StorageFull),
        (sqlite3.SQLITE_BUSY, DatabaseUnavailable),
    ],
)
def test_trouble_of_sqlite_is_told_by_its_kind(code: int, expected: type[Exception]):
    error = sqlite3.OperationalError("database trouble")
    error.sqlite_errorcode = code
    translated = translate(error)
    assert type(translated) is expected
    assert translated is not None
    assert translated.headers["Retry-After"]


def test_every_connection_in_use_is_said_so():
    translated = translate(PoolTimeout("QueuePool limit"))
    assert translated is not None
    assert translated.detail == "Every connection to the database is in use."


@pytest.mark.parametrize(
    ("code", "is_one"), [(sqlite3.SQLITE_READONLY, True), (sqlite3.SQLITE_CANTOPEN, True), (sqlite3.SQLITE_BUSY, False)]
)
def test_a_file_that_cannot_be_used_here_is_known(code: int, is_one: bool):
    error = sqlite3.OperationalError("trouble")
    error.sqlite_errorcode = code
    assert is_access(error) is is_one


def test_the_first_line_of_the_driver_is_said():
    assert say(sqlite3.OperationalError("one\ntwo")) == "one."
    assert say(sqlite3.OperationalError("")) == "OperationalError."


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (psycopg.errors.ReadOnlySqlTransaction("cannot execute INSERT in a read-only transaction"), True),
        (psycopg.OperationalError("a: session is read-only"), True),
        (psycopg.errors.SyntaxError("read-only"), False),
        (psycopg.OperationalError("Connection refused"), False),
    ],
)
def test_a_postgresql_that_takes_no_changes_is_told_with_what_to_do(error: Exception, is_one: bool):
    translated = translate(error)
    assert translated is not None
    assert translated.detail.endswith(PROMOTE) is is_one
