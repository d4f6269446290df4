"""Create or migrate the tables, and complete rows written by servers of an older version."""

import logging

from sqlalchemy import Column, Connection, MetaData, String, Table, delete, exists, insert, inspect, select

from api.db.database_url import DatabaseError
from api.db.tables import REVISION, metadata, task_roll, tasks

logger = logging.getLogger(__name__)

#: Alembic's table with the revision.
_revision = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))

_IN_ROLL = exists().where(task_roll.c.serial == tasks.c.serial)
_IN_TASKS = exists().where(tasks.c.serial == task_roll.c.serial)

_ADD = insert(task_roll).from_select(["serial", "owner"], select(tasks.c.serial, tasks.c.owner).where(~_IN_ROLL))
_REMOVE = delete(task_roll).where(~_IN_TASKS)


def migrate_tables(connection: Connection, shown: str) -> None:
    """Create or upgrade the tables; `shown` names the database in messages.

    Raises DatabaseError if they are of a newer version.
    """
    _upgrade(connection, shown)
    # During a rolling upgrade, a server without the roll adds and removes only tasks.
    connection.execute(_ADD)
    connection.execute(_REMOVE)


def _upgrade(connection: Connection, shown: str) -> None:
    tables = set(inspect(connection).get_table_names())
    current = connection.scalar(select(_revision.c.version_num)) if _revision.name in tables else None
    if current == REVISION:
        return
    if current is None and tables.isdisjoint(metadata.tables):
        # An empty database: create the current tables directly.
        metadata.create_all(connection, checkfirst=False)
        _revision.create(connection, checkfirst=True)
        connection.execute(_revision.insert().values(version_num=REVISION))
    else:
        # Alembic is large, and seldom needed.
        from api.db.migrations.upgrading import UnknownRevision, upgrade  # noqa: PLC0415

        try:
            upgrade(connection)
        except UnknownRevision as error:
            raise DatabaseError(
                f"the database {shown} was made by a newer version of this service (revision {error}; this "
                f"one supports {REVISION}): start that version, or set DATABASE_URL or STORAGE_ROOT to another one"
            ) from None
    logger.info("tables created or upgraded", extra={"database": shown, "previous": current, "current": REVISION})
