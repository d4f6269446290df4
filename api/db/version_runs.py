"""Runs of consecutive edits by one user: they become one dataset version, and each can be undone for an hour.

An edit that joins a run supersedes the version before it. Versions that are used, exported or named are never
superseded. No version ever changes: the new one has its own number.
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

#: Seconds from the first edit of a run within which other edits join it.
RUN_SECONDS = 600.0


#: A function that is executed in a transaction.
InTransaction = Callable[[Connection], Any]


@dataclass(frozen=True, slots=True)
class VersionRun:
    """A run of edits that a further edit may join."""

    started_at: float  #: Unix seconds
    ordinal: int  #: of its newest version


class VersionRuns:
    """Runs of edits in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, serial: int, ordinal: int, actor: str, now: datetime) -> VersionRun | None:
        """Return the run that this user's edit of this version joins; None if it starts a new run."""
        query = select(dataset_versions.c.run_started_at).where(_is_open(serial, ordinal, actor, now))
        with self._database.read() as connection:
            started_at = connection.scalar(query)
        return None if started_at is None else VersionRun(started_at, ordinal)

    def keep(self, serial: int, ordinal: int) -> None:
        """Keep a version from being superseded, or a superseded one from being deleted."""
        with self._database.read() as connection:
            is_open = connection.scalar(select(dataset_versions.c.ordinal).where(_can_go(serial, ordinal)))
        if is_open is not None:
            with self._database.write(is_audited=False) as connection:
                keep_version(connection, serial, ordinal)


def in_turn(*parts: InTransaction) -> InTransaction:
    """Return a function that executes all parts in one transaction."""

    def do(connection: Connection) -> None:
        for part in parts:
            part(connection)

    return do


def begin_run(connection: Connection, serial: int, ordinal: int, now: datetime) -> None:
    """Record that an edit created this version, so that later edits of the same user can be joined to it."""
    is_it = (dataset_versions.c.dataset == serial) & (dataset_versions.c.ordinal == ordinal)
    connection.execute(update(dataset_versions).where(is_it).values(run_started_at=to_seconds(now)))


def join_run(connection: Connection, serial: int, run: VersionRun, actor: str, now: datetime) -> None:
    """Supersede the newest version of a run by the one after it. Raises DatasetChanged if it is used now."""
    superseded = update(dataset_versions).where(_is_open(serial, run.ordinal, actor, now))
    if not connection.execute(superseded.values(superseded_at=to_seconds(now))).rowcount:
        raise DatasetChanged("The newest version is in use now. Repeat the edit.")
    is_it = (dataset_versions.c.dataset == serial) & (dataset_versions.c.ordinal == run.ordinal + 1)
    connection.execute(update(dataset_versions).where(is_it).values(run_started_at=run.started_at))


def keep_version(connection: Connection, serial: int, ordinal: int) -> None:
    """Keep a version that is used or named; a superseded one is listed again."""
    values = {"is_kept": True, "superseded_at": None}
    connection.execute(update(dataset_versions).where(_can_go(serial, ordinal)).values(values))


def _can_go(serial: int, ordinal: int) -> ColumnElement[bool]:
    """Return the condition that a version was created by an edit and was neither used nor named."""
    is_it = (dataset_versions.c.dataset == serial) & (dataset_versions.c.ordinal == ordinal)
    return is_it & dataset_versions.c.run_started_at.is_not(None) & dataset_versions.c.is_kept.is_not(True)


def _is_open(serial: int, ordinal: int, actor: str, now: datetime) -> ColumnElement[bool]:
    # Bounded on both sides, so that a clock change ends the run.
    seconds = to_seconds(now)
    is_recent = dataset_versions.c.run_started_at.between(seconds - RUN_SECONDS, seconds)
    pinned = (
        exists()
        .where(dataset_pins.c.dataset == serial)
        .where(dataset_pins.c.manifest == dataset_versions.c.manifest)
        .correlate(dataset_versions)
    )
    return _can_go(serial, ordinal) & (dataset_versions.c.actor == actor) & is_recent & ~pinned
