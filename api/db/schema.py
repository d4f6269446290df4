"""Brings the tables to this version, and what a server of an older version wrote into them."""

import logging

from sqlalchemy import Column, Connection, MetaData, String, Table, delete, exists, insert, inspect, select

from api.db.database_url import DatabaseError
from api.db.tables import REVISION, metadata, task_roll, tasks

logger = logging.getLogger(__name__)

#: Where Alembic keeps the revision of the tables.
_revision = Table("alembic_version", MetaData(), Column("version_num", String(32), primary_key=True))

_IN_ROLL = exists().where(task_roll.c.serial == tasks.c.serial)
_IN_TASKS = exists().where(tasks.c.serial == task_roll.c.serial)

_ADD = insert(task_roll).from_select(["serial", "owner"], select(tasks.c.serial, tasks.c.owner).where(~_IN_ROLL))
_REMOVE = delete(task_roll).where(~_IN_TASKS)


def bring_up_to_date(connection: Connection, shown: str) -> None:
    """Make or upgrade the tables; `shown` names the database in messages.

    Raise DatabaseError when they are of a newer version.
    """
    _upgrade(connection, shown)
    # A server of a version without the roll runs on while others are upgraded, and adds and removes tasks only.
    connection.execute(_ADD)
    connection.execute(_REMOVE)


def _upgrade(connection: Connection, shown: str) -> None:
    tables = set(inspect(connection).get_table_names())
    current = connection.scalar(select(_revision.c.version_num)) if _revision.name in tables else None
    if current == REVISION:
        return
    if current is None and tables.isdisjoint(metadata.tables):
        # Nothing is there to be changed: the tables are made as they are now.
        metadata.create_all(connection, checkfirst=False)
        _revision.create(connection, checkfirst=True)
        connection.execute(_revision.insert().values(version_num=REVISION))
    else:
        # Alembic is heavy, and seldom needed.
        from api.db.migrations.upgrading import UnknownRevision, upgrade  # noqa: PLC0415

        try:
            upgrade(connection)
        except UnknownRevision as error:
            raise DatabaseError(
                f"the database {shown} was made by a newer version of this service (revision {error}; this "
                f"one knows {REVISION}): start that version, or give another DATABASE_URL or STORAGE_ROOT"
            ) from None
    logger.info("tables made", extra={"database": shown, "previous": current, "current": REVISION})
