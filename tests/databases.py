"""The databases of tests: a SQLite file, and a new PostgreSQL database."""

import functools
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import event
from sqlalchemy.engine import make_url

from api.db.database import Database
from api.db.tables import metadata
from tests.own_service import lacks

#: A server on which tests may create and drop databases.
SERVER = os.environ.get("TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres")

BACKENDS = ("sqlite", "postgresql")

#: Maximum connections per server or process under test: several test runs share one PostgreSQL with its 100.
FEW = 6


@functools.cache
def _why_unreachable() -> str | None:
    try:
        with psycopg.connect(SERVER, connect_timeout=3):
            return None
    except psycopg.OperationalError as error:
        return f"PostgreSQL is not reachable at {make_url(SERVER).render_as_string()}: {str(error).splitlines()[0]}"


def require_postgres() -> None:
    """Skip the test if there is no PostgreSQL; in CI that is a failure."""
    reason = _why_unreachable()
    if reason is not None:
        lacks(reason)


@contextmanager
def fresh_postgres() -> Iterator[str]:
    """Create an empty PostgreSQL database, return its URL, and drop it afterwards with all its connections."""
    require_postgres()
    name = f"test_{os.getpid()}_{secrets.token_hex(4)}"
    _execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield make_url(SERVER).set(database=name).render_as_string(hide_password=False)
    finally:
        _execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _execute(statement: sql.Composed) -> None:
    with psycopg.connect(SERVER, autocommit=True) as connection:
        connection.execute(statement)


def hurry(database: Database) -> None:
    """Make commits not wait for the disk, as no test cuts the power. Call it before the first connection."""
    pragma = "PRAGMA synchronous = OFF" if database.is_sqlite else "SET SESSION synchronous_commit = off"

    def prepare(driver: Any, record: object) -> None:
        driver.execute(pragma)
        if not database.is_sqlite:
            driver.commit()

    event.listen(database.engine, "connect", prepare)


def empty(database: Database) -> None:
    """Delete every row."""
    with database.write() as connection:
        for table in metadata.tables.values():
            connection.execute(table.delete())
