"""Measured databases: a SQLite file and a temporary PostgreSQL database, with their bare drivers."""

import os
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

from api.db.database import LOCK_MS, Database, sqlite_url

#: URL of a PostgreSQL server on which databases may be created and dropped.
SERVER = os.environ.get("TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres")

KINDS = ("SQLite", "PostgreSQL")


@dataclass(frozen=True, slots=True)
class Bare:
    """A connection of the bare driver; each statement commits unless `begin` was called before."""

    connection: Any
    is_sqlite: bool

    def run(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        cursor = self.connection.execute(statement.replace("%s", "?") if self.is_sqlite else statement, parameters)
        return list(cursor.fetchall()) if cursor.description else []

    def begin(self) -> None:
        self.run("BEGIN IMMEDIATE" if self.is_sqlite else "BEGIN")


def why_not(kind: str) -> str | None:
    """Return why this kind cannot be measured here, or None."""
    reason = why_no_postgres() if kind == "PostgreSQL" else None
    return None if reason is None else f"no PostgreSQL at {shown(SERVER)}: {reason}: apt-get install postgresql"


@cache
def why_no_postgres() -> str | None:
    """Return why the server cannot be used, or None. Cached, so that all rows are measured or none."""
    try:
        with psycopg.connect(SERVER, connect_timeout=3):
            return None
    except psycopg.OperationalError as error:
        return str(error).splitlines()[0]


def shown(url: str) -> str:
    """Return the URL without its password."""
    return make_url(url).render_as_string()


@contextmanager
def fresh(kind: str, folder: Path) -> Iterator[str]:
    """Yield the URL of an empty database: a file in the folder, or a database that is dropped afterwards."""
    if kind == "SQLite":
        yield sqlite_url(folder / f"{secrets.token_hex(4)}.sqlite")
        return
    name = f"bench_{os.getpid()}_{secrets.token_hex(4)}"
    _administer(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield make_url(SERVER).set(database=name).render_as_string(hide_password=False)
    finally:
        _administer(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _administer(statement: sql.Composed) -> None:
    with psycopg.connect(SERVER, autocommit=True) as connection:
        connection.execute(statement)


@contextmanager
def migrated(url: str) -> Iterator[Database]:
    """Yield the database with its tables."""
    database = Database(url)
    database.migrate()
    try:
        yield database
    finally:
        database.close()


@contextmanager
def bare(url: str) -> Iterator[Bare]:
    """Yield a connection of the bare driver with the service's durability and time-outs."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        plain = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True) as connection:
            yield Bare(connection, is_sqlite=False)
        return
    with closing(sqlite3.connect(str(parsed.database), isolation_level=None)) as file:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", f"busy_timeout = {LOCK_MS}"):
            file.execute(f"PRAGMA {pragma}")
        yield Bare(file, is_sqlite=True)
