"""Translation of drivers' exceptions."""

import sqlite3

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.db.database_errors import PROMOTE, first_line, is_access, translate
from api.errors import DatabaseDamaged, DatabaseUnavailable, StorageFull


@pytest.mark.parametrize("kind", [sqlite3.DatabaseError, psycopg.InternalError, psycopg.ProgrammingError])
def test_driver_errors_are_recognised(kind: type[Exception]):
    assert type(translate(DBAPIError("SELECT", None, kind("odd")))) is DatabaseUnavailable  # type: ignore[arg-type]
    assert type(translate(kind("odd"))) is DatabaseUnavailable


def test_rejected_values_are_left_to_the_caller():
    assert translate(IntegrityError("INSERT", None, sqlite3.IntegrityError("UNIQUE"))) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (psycopg.errors.DiskFull("no space"), StorageFull),
        (psycopg.errors.DataCorrupted("page"), DatabaseDamaged),
        (psycopg.errors.IndexCorrupted("index"), DatabaseDamaged),
    ],
)
def test_postgresql_errors_are_translated_by_kind(error: Exception, expected: type[Exception]):
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
def test_sqlite_errors_are_translated_by_kind(code: int, expected: type[Exception]):
    error = sqlite3.OperationalError("database trouble")
    error.sqlite_errorcode = code
    translated = translate(error)
    assert type(translated) is expected
    assert translated is not None
    assert translated.headers["Retry-After"]


def test_exhausted_connections_are_reported():
    translated = translate(PoolTimeout("QueuePool limit"))
    assert translated is not None
    assert translated.detail == "All connections to the database are in use."


@pytest.mark.parametrize(
    ("code", "is_one"), [(sqlite3.SQLITE_READONLY, True), (sqlite3.SQLITE_CANTOPEN, True), (sqlite3.SQLITE_BUSY, False)]
)
def test_inaccessible_file_is_recognised(code: int, is_one: bool):
    error = sqlite3.OperationalError("trouble")
    error.sqlite_errorcode = code
    assert is_access(error) is is_one


def test_first_line_of_the_drivers_message_is_used():
    assert first_line(sqlite3.OperationalError("one\ntwo")) == "one."
    assert first_line(sqlite3.OperationalError("")) == "OperationalError."


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (psycopg.errors.ReadOnlySqlTransaction("cannot execute INSERT in a read-only transaction"), True),
        (psycopg.OperationalError("a: session is read-only"), True),
        (psycopg.errors.SyntaxError("read-only"), False),
        (psycopg.OperationalError("Connection refused"), False),
    ],
)
def test_read_only_postgresql_is_reported_with_a_remedy(error: Exception, is_one: bool):
    translated = translate(error)
    assert translated is not None
    assert translated.detail.endswith(PROMOTE) is is_one
