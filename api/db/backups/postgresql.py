"""Dumps and restores the service's tables in PostgreSQL, by PostgreSQL's own programs."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sqlalchemy.engine import URL

from api.db.backups.file import BackupError
from api.db.database import MIGRATION_LOCK
from api.db.tables import metadata
from api.util.text.masking import is_secret_name, mask_secrets

#: The timeout for connecting, in seconds.
_CONNECT_SECONDS = 10

#: The tables of this version; older versions have fewer.
_TABLES = frozenset((*metadata.tables, "alembic_version"))

#: The tables that every version has.
_ALWAYS = frozenset(("alembic_version", "leadership", "tasks"))

_PRESENT = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
_OTHERS = (
    "SELECT coalesce(nullif(application_name, ''), 'no name') || ' at ' || coalesce(host(client_addr), 'a socket')"
    " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND backend_type = 'client backend'"
)


class PostgresTables:
    """The tables of the service in one PostgreSQL database."""

    def __init__(self, url: URL) -> None:
        self._url = url
        known = {**url.translate_connect_args(username="user", database="dbname"), **url.query}
        self._arguments = {name: value for name, value in known.items() if not is_secret_name(name)}
        self._password = url.password or str(url.query.get("password", ""))

    def dump(self, target: Path) -> str:
        """Write a consistent snapshot of the tables into a file and return its revision. Writers are not blocked.

        Raises BackupError.
        """
        with self._connect() as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            present = self._find_tables(connection)
            if not present >= _ALWAYS:
                raise BackupError("the database has no tables of this service: check DATABASE_URL")
            schema, snapshot, revision = self._one(
                connection,
                "SELECT current_schema(), pg_export_snapshot(), version_num FROM alembic_version",
            )
            tables = [f"--table={_quote(schema)}.{_quote(name)}" for name in sorted(present)]
            how = ["--format=custom", "--no-owner", "--no-privileges", f"--snapshot={snapshot}"]
            self._run("pg_dump", [*how, *tables, f"--file={target}"])
        return str(revision)

    def restore(self, dump: Path, schema: str, replaces: bool) -> str | None:
        """Replace the tables by those of a dump; move the present ones into a schema of this name, and return that.

        Returns None if there were none. All of it is one transaction: after a BackupError or a crash nothing has
        changed. Scripts are written beside the dump.
        """
        with self._connect() as connection:
            connection.autocommit = True
            # A server that starts now waits until the restore has ended.
            connection.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
            self._refuse_others(connection)
            present = self._find_tables(connection)
            self._refuse_tables(connection, present, replaces)
            usual = str(self._one(connection, "SELECT current_schema()")[0])
            scripts = [dump.with_name(name) for name in ("before.sql", "tables.sql", "after.sql")]
            scripts[0].write_text(_join(connection, _move(present, usual, schema)))
            self._run(
                "pg_restore", ["--no-owner", "--no-privileges", f"--file={scripts[1]}", str(dump)], connects=False
            )
            scripts[2].write_text(_join(connection, _finish(usual)))
            how = ["--no-psqlrc", "--quiet", "--output=/dev/null", "--single-transaction", "--set=ON_ERROR_STOP=1"]
            self._run("psql", [*how, *(f"--file={script}" for script in scripts)])
        return schema if present else None

    def _refuse_others(self, connection: psycopg.Connection) -> None:
        others = [str(row[0]) for row in connection.execute(_OTHERS)]
        if others:
            shown = ", ".join(sorted(set(others))[:3])
            raise BackupError(
                f"other connections to the database are open ({len(others)}: {shown}): stop every server and other "
                "program that uses it first"
            )

    def _refuse_tables(self, connection: psycopg.Connection, present: set[str], replaces: bool) -> None:
        if present and not replaces:
            raise BackupError(
                "the database contains tables of this service: with --force (make: FORCE=1) they are replaced by "
                "those of the backup and moved to a separate schema"
            )
        foreign = {str(row[0]) for row in connection.execute(_PRESENT)} - _TABLES
        if present and foreign:
            raise BackupError(
                f"the database has tables unknown to this version ({', '.join(sorted(foreign)[:5])}): create an "
                "empty database, and set DATABASE_URL to it"
            )

    def _find_tables(self, connection: psycopg.Connection) -> set[str]:
        return {str(row[0]) for row in connection.execute(_PRESENT)}.intersection(_TABLES)

    def _one(self, connection: psycopg.Connection, statement: str) -> tuple[object, ...]:
        row = connection.execute(statement.encode()).fetchone()
        if row is None:
            raise BackupError("the database has no record of its tables' version")
        return row

    @contextmanager
    def _connect(self) -> Iterator[psycopg.Connection]:
        arguments = {**self._arguments, **({"password": self._password} if self._password else {})}
        try:
            with psycopg.connect(**arguments, connect_timeout=_CONNECT_SECONDS) as connection:
                yield connection
        except psycopg.Error as error:
            raise BackupError(f"the database reported an error: {_one_line(error)}") from error

    def _run(self, program: str, arguments: Sequence[str], *, connects: bool = True) -> None:
        """Run one of PostgreSQL's programs, on this database if `connects`. Raises BackupError with its message."""
        found = shutil.which(program)
        if found is None:
            raise BackupError(f"{program} is not installed: install PostgreSQL's client (postgresql-client)")
        with tempfile.NamedTemporaryFile("w", prefix="pgpass-") as passwords:
            # Not on the command line, which every process of the machine can read.
            escaped = self._password.replace("\\", "\\\\").replace(":", "\\:")
            passwords.write(f"*:*:*:*:{escaped}\n")
            passwords.flush()
            where = make_conninfo("", **self._arguments, **({"passfile": passwords.name} if self._password else {}))
            database = [f"--dbname={where}", "--no-password"] if connects else []
            done = subprocess.run(
                [found, *database, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
            )
        if done.returncode != 0:
            raise BackupError(f"{program} failed: {mask_secrets(done.stderr.strip()[-1000:])}")


def _move(tables: set[str], usual: str, schema: str) -> list[sql.Composed]:
    """Return the statements that move tables from the usual schema into a new one."""
    if not tables:
        return []
    to = sql.Identifier(schema)
    move = sql.SQL("ALTER TABLE {} SET SCHEMA {}")
    return [
        sql.SQL("CREATE SCHEMA {}").format(to),
        *(move.format(sql.Identifier(usual, name), to) for name in sorted(tables)),
    ]


def _finish(usual: str) -> list[sql.Composed]:
    """Return statements that fail unless the basic tables are in the usual schema, and that remove all leaders."""
    query = sql.SQL("SELECT 1 FROM {} LIMIT 1")
    return [
        *(query.format(sql.Identifier(usual, name)) for name in sorted(_ALWAYS)),
        sql.SQL("UPDATE {} SET holder = ''").format(sql.Identifier(usual, "leadership")),
    ]


def _join(connection: psycopg.Connection, statements: Sequence[sql.Composed]) -> str:
    return "".join(f"{statement.as_string(connection)};\n" for statement in statements)


def _quote(name: object) -> str:
    """Return a name quoted for a pattern of pg_dump."""
    return '"' + str(name).replace('"', '""') + '"'


def _one_line(error: Exception) -> str:
    return mask_secrets(" ".join(str(error).split()))
