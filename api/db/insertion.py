"""Insert rows that may exist already, by one statement, on either database."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert


def insert_missing(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows whose primary keys are missing; existing rows stay as they are."""
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        connection.execute(sqlite_insert(table).on_conflict_do_nothing(), list(rows))
        return
    connection.execute(postgres_insert(table).on_conflict_do_nothing(), list(rows))


def insert_or_update(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], key: str, changed: Sequence[str]
) -> None:
    """Insert rows. Of rows whose unique `key` exists, replace the values of these columns."""
    if not rows:
        return
    insert = sqlite_insert(table) if connection.dialect.name == "sqlite" else postgres_insert(table)
    new = {name: insert.excluded[name] for name in changed}
    connection.execute(insert.on_conflict_do_update(index_elements=[key], set_=new), list(rows))
