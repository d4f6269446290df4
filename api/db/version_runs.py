"""Consecutive edits by one person: they become one version of a dataset, and each can be undone for an hour.

An edit that goes on with a run supersedes the version before it. Nothing that is used, exported or named is superseded,
and no version ever changes: the new one has a number of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, exists, select, update

from api.db.database import Database
from api.db.dataset_tables import dataset_pins, dataset_versions
from api.db.rows import to_seconds
from api.errors import DatasetChanged

#: Seconds from the first edit of a run in which others join it.
RUN_SECONDS = 600.0


#: Is done in a transaction.
InTransaction = Callable[[Connection], Any]


@dataclass(frozen=True, slots=True)
class VersionRun:
    """A run of edits that another one may join."""

    started_at: float  #: Unix seconds
    ordinal: int  #: of its newest version


class VersionRuns:
    """Runs in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, serial: int, ordinal: int, actor: str, now: datetime) -> VersionRun | None:
        """Return the run that an edit of this version by this person joins; None when it starts its own."""
        query = select(dataset_versions.c.run_started_at).where(_is_open(serial, ordinal, actor, now))
        with self._database.read() as connection:
            started_at = connection.scalar(query)
        return None if started_at is None else VersionRun(started_at, ordinal)

    def keep(self, serial: int, ordinal: int) -> None:
        """Keep a version from being superseded, and one that was superseded from being removed."""
        with self._database.read() as connection:
            is_open = connection.scalar(select(dataset_versions.c.ordinal).where(_can_go(serial, ordinal)))
        if is_open is not None:
            with self._database.write(is_audited=False) as connection:
                keep_version(connection, serial, ordinal)


def in_turn(*parts: InTransaction) -> InTransaction:
    """Return what does all of these in one transaction."""

    def do(connection: Connection) -> None:
        for part in parts:
            part(connection)

    return do


def begin_run(connection: Connection, serial: int, ordinal: int, now: datetime) -> None:
    """Note that a version was made by an edit that others may join."""
    is_it = (dataset_versions.c.dataset == serial) & (dataset_versions.c.ordinal == ordinal)
    connection.execute(update(dataset_versions).where(is_it).values(run_started_at=to_seconds(now)))


def join_run(connection: Connection, serial: int, run: VersionRun, actor: str, now: datetime) -> None:
    """Supersede the newest version of a run by the one made after it. Raises DatasetChanged when it is needed now."""
    superseded = update(dataset_versions).where(_is_open(serial, run.ordinal, actor, now))
    if not connection.execute(superseded.values(superseded_at=to_seconds(now))).rowcount:
        raise DatasetChanged("The newest version is in use now: edit it again.")
    is_it = (dataset_versions.c.dataset == serial) & (dataset_versions.c.ordinal == run.ordinal + 1)
    connection.execute(update(dataset_versions).where(is_it).values(run_started_at=run.started_at))


def keep_version(connection: Connection, serial: int, ordinal: int) -> None:
    """Keep a version that something uses or names; one that was superseded is listed again."""
    kept = {"is_kept": True, "superseded_at": None}
    connection.execute(update(dataset_versions).where(_can_go(serial, ordinal)).values(kept))


def _can_go(serial: int, ordinal: int) -> ColumnElement[bool]:
    """Whether a version was made by an edit and nothing has used or named it."""
    is_it = (dataset_versions.c.dataset == serial) & (dataset_versions.c.ordinal == ordinal)
    return is_it & dataset_versions.c.run_started_at.is_not(None) & dataset_versions.c.is_kept.is_not(True)


def _is_open(serial: int, ordinal: int, actor: str, now: datetime) -> ColumnElement[bool]:
    # On both sides: a clock that was set ends the run.
    seconds = to_seconds(now)
    is_recent = dataset_versions.c.run_started_at.between(seconds - RUN_SECONDS, seconds)
    pinned = (
        exists()
        .where(dataset_pins.c.dataset == serial)
        .where(dataset_pins.c.manifest == dataset_versions.c.manifest)
        .correlate(dataset_versions)
    )
    return _can_go(serial, ordinal) & (dataset_versions.c.actor == actor) & is_recent & ~pinned
