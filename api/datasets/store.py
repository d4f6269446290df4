"""Datasets and their versions in the database, and which tasks use them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Connection, Row, func, or_, select, update
from sqlalchemy.exc import IntegrityError

from api.datasets.rows import IS_THERE, NewVersion, insert_dataset, insert_version, read_version
from api.db.database import Database
from api.db.dataset_tables import (
    dataset_pins,
    dataset_versions,
    datasets,
)
from api.db.rows import clean, dump, to_seconds, to_time
from api.db.tables import servers, tasks
from api.db.version_runs import VersionRuns
from api.domain.audit import note_change
from api.domain.dataset import Dataset, DatasetVersion, DirectoryWatch, PinnedDataset
from api.domain.sight import ANOTHERS_TASK, current_sight
from api.domain.training import TaskStatus
from api.errors import DatasetChanged, DatasetExists, DatasetInUse, DatasetNotFound, VersionNotFound

_WATCH = TypeAdapter(DirectoryWatch)

#: What else is done in a transaction.
Also = Callable[[Connection], Any]

_HOLDS_LATEST = (dataset_versions.c.dataset == datasets.c.serial) & (dataset_versions.c.ordinal == datasets.c.latest)

#: Datasets, each with how many items its newest version has.
_SELECT = select(datasets, dataset_versions.c["items"].label("item_count")).select_from(
    datasets.outerjoin(dataset_versions, _HOLDS_LATEST)
)

_FINISHED = [status for status in TaskStatus if status.is_finished]


@dataclass(frozen=True, slots=True)
class DatasetFilter:
    """Which datasets a list shows; None does not choose."""

    search: str | None = None  #: part of name, description or a tag
    owner: str | None = None
    seen_by: str | None = None  #: the user whose datasets alone may be seen; None: everybody's


class DatasetStore:
    """What the tables of datasets know. Each change is one transaction that changes all of it or nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.runs = VersionRuns(database)

    def may_compress(self) -> bool:
        """Return whether every server on this database reads compressed manifests; in a rolling upgrade older ones do
        not. One that was killed counts until its row is forgotten.
        """
        with self._database.read() as connection:
            return connection.scalar(select(servers.c.server_id).where(servers.c.reads_gzip.is_(None)).limit(1)) is None

    # -- datasets ------------------------------------------------------------------------------------------------------

    def create(self, new: Dataset) -> Dataset:
        """Keeps a new dataset without any version; its serial is given here. Raises DatasetExists."""
        with self._database.write() as connection:
            serial = insert_dataset(connection, new)
            note_change(about=new.name, after={"name": new.name, "directory": new.directory})
        return replace(new, serial=serial, updated_at=new.created_at)

    def get(self, name: str) -> Dataset:
        """The dataset with this name. Raises DatasetNotFound."""
        with self._database.read() as connection:
            return _read(_find(connection, name))

    def get_by_serial(self, serial: int) -> Dataset | None:
        """The dataset with this number, also a deleted one that tasks use; None when there is none."""
        with self._database.read() as connection:
            row = connection.execute(_SELECT.where(datasets.c.serial == serial)).one_or_none()
            return None if row is None else _read(row)

    def page(
        self, wanted: DatasetFilter, limit: int, offset: int | None, cursor: int | None
    ) -> tuple[list[Dataset], int]:
        """Up to `limit` datasets, newest first, after the one with the serial `cursor`; and how many there are."""
        with self._database.read() as connection:
            conditions = _conditions(wanted, connection.dialect.name)
            query = _SELECT.where(*conditions).order_by(datasets.c.serial.desc()).limit(limit)
            if cursor is not None:
                query = query.where(datasets.c.serial < cursor)
            elif offset:
                query = query.offset(offset)
            total = connection.scalar(select(func.count()).select_from(datasets).where(*conditions)) or 0
            return [_read(row) for row in connection.execute(query)], total

    def registered(self) -> list[Dataset]:
        """Those that are directories on a server."""
        with self._database.read() as connection:
            found = connection.execute(_SELECT.where(datasets.c.directory.is_not(None), IS_THERE))
            return [_read(row) for row in found]

    def change(self, name: str, changes: Mapping[str, Any], now: datetime) -> Dataset:
        """Changes name, description or tags. Raises DatasetNotFound, DatasetExists."""
        values = {key: _clean(value) if isinstance(value, str) else value for key, value in changes.items()}
        try:
            with self._database.write() as connection:
                before = _read(_find(connection, name))
                told = {key: getattr(before, key) for key in changes}
                note_change(about=name, before=told, after=dict(changes))
                is_it = (datasets.c.serial == before.serial) & IS_THERE
                connection.execute(update(datasets).where(is_it).values(updated_at=to_seconds(now), **values))
                row = connection.execute(_SELECT.where(datasets.c.serial == before.serial)).one()
        except IntegrityError:
            raise DatasetExists(f'A dataset is called "{changes.get("name")}" already.') from None
        return _read(row)

    def delete(self, name: str, now: datetime) -> Dataset:
        """Takes a dataset away; what finished tasks need of it stays until they go.

        Raises DatasetNotFound, DatasetInUse with the tasks that have not finished.
        """
        with self._database.write() as connection:
            row = _find(connection, name, locks=True)
            users = _users(connection, row.serial, are_active=True)
            if users:
                raise DatasetInUse(f"Tasks that have not finished use {name}.", data={"tasks": users})
            note_change(about=name, before={"owner": row.owner, "latest": row.latest, "bytes": row.stored_bytes})
            gone = {"name": None, "deleted_at": to_seconds(now)}
            connection.execute(update(datasets).where(datasets.c.serial == row.serial).values(gone))
        return _read(row)

    def users(self, serial: int, *, are_active: bool = False) -> list[str]:
        """The tasks that use a dataset; with `are_active` only those that have not finished."""
        with self._database.read() as connection:
            return _users(connection, serial, are_active=are_active)

    def note_watch(self, serial: int, watch: DirectoryWatch) -> bool:
        """Keeps what a look at a registered directory has found; False for a dataset that is not there any more."""
        document = {**dump(watch), "checked_at": watch.checked_at.isoformat()}
        with self._database.write(is_audited=False) as connection:
            which = (datasets.c.serial == serial) & IS_THERE
            return bool(connection.execute(update(datasets).where(which).values(watch=document)).rowcount)

    # -- versions ------------------------------------------------------------------------------------------------------

    def add_version(
        self,
        serial: int,
        new: NewVersion,
        expected_latest: int | None,
        now: datetime,
        also: Also = lambda connection: None,
    ) -> DatasetVersion:
        """Makes this the newest version, if the newest one still is `expected_latest`; `also` is done in the same
        transaction.

        What it needs must be held already, by its claim or earlier versions. Raises DatasetChanged, DatasetNotFound.
        """
        try:
            with self._database.write() as connection:
                made = insert_version(connection, serial, new, expected_latest, now)
                also(connection)
                told = {"version": made.ordinal, "manifest": new.manifest_sha256, "items": new.items}
                note_change(before={"version": expected_latest}, after=told)
        except IntegrityError:
            # Somebody else made the same manifest's rows at this moment.
            raise DatasetChanged("The same version was made somewhere else at this moment: try again.") from None
        return made

    def get_version(self, serial: int, ordinal: int) -> DatasetVersion:
        """The version with this number. Raises VersionNotFound."""
        return self._version(serial, dataset_versions.c.ordinal == ordinal, str(ordinal))

    def find_version(self, serial: int, manifest_sha256: str) -> DatasetVersion:
        """The newest version that is this manifest. Raises VersionNotFound."""
        return self._version(serial, dataset_versions.c.manifest == manifest_sha256, f"sha256:{manifest_sha256}")

    def _version(self, serial: int, which: ColumnElement[bool], shown: str) -> DatasetVersion:
        newest = select(dataset_versions).order_by(dataset_versions.c.ordinal.desc()).limit(1)
        with self._database.read() as connection:
            row = connection.execute(newest.where(dataset_versions.c.dataset == serial, which)).one_or_none()
        if row is None:
            raise VersionNotFound(f"The dataset has no version {shown}.")
        return read_version(row._asdict())

    def versions(
        self, serial: int, limit: int, offset: int | None, cursor: int | None
    ) -> tuple[list[DatasetVersion], int]:
        """Up to `limit` versions, newest first, after the one with the ordinal `cursor`; and how many there are.
        Superseded ones are left out.
        """
        mine = (dataset_versions.c.dataset == serial) & dataset_versions.c.superseded_at.is_(None)
        query = select(dataset_versions).where(mine).order_by(dataset_versions.c.ordinal.desc()).limit(limit)
        if cursor is not None:
            query = query.where(dataset_versions.c.ordinal < cursor)
        elif offset:
            query = query.offset(offset)
        with self._database.read() as connection:
            total = connection.scalar(select(func.count()).select_from(dataset_versions).where(mine)) or 0
            return [read_version(row._asdict()) for row in connection.execute(query)], total

    def origins(self, serial: int, after: int = 0) -> list[Mapping[str, Any]]:
        """The origins of the versions after this one, newest first; those without one are left out."""
        mine = (dataset_versions.c.dataset == serial) & (dataset_versions.c.ordinal > after)
        query = select(dataset_versions.c.origin).where(mine).order_by(dataset_versions.c.ordinal.desc())
        with self._database.read() as connection:
            return [origin for origin in connection.scalars(query) if origin is not None]

    # -- what tasks and people use -------------------------------------------------------------------------------------

    def find_pinned(self, task_ids: Iterable[str], manifest_sha256: str) -> PinnedDataset | None:
        """What one of these tasks uses that is this manifest; None when none does."""
        mine = dataset_pins.c.task_id.in_(list(task_ids)) & (dataset_pins.c.manifest == manifest_sha256)
        version = (dataset_versions.c.dataset == dataset_pins.c.dataset) & (
            dataset_versions.c.ordinal == dataset_pins.c.ordinal
        )
        query = (
            select(dataset_pins, dataset_versions.c["items"].label("item_count"), dataset_versions.c.excluded)
            .join(dataset_versions, version)
            .where(mine)
            .limit(1)
        )
        with self._database.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        items = row.item_count - (row.excluded or 0)
        return PinnedDataset(row.name, row.ordinal, f"sha256:{row.manifest}", items, row.dataset)

    def pins_of(self, task_ids: Iterable[str]) -> list[PinnedDataset]:
        """The versions that these tasks use."""
        query = select(dataset_pins).where(dataset_pins.c.task_id.in_(list(task_ids)))
        with self._database.read() as connection:
            return [
                PinnedDataset(row.name, row.ordinal, f"sha256:{row.manifest}", 0, row.dataset)
                for row in connection.execute(query)
            ]

    def used_by(self, task_ids: Iterable[str]) -> dict[str, str]:
        """What each of these tasks uses, as it can stand in a request: name@3; of several the first by name."""
        named = dict[str, str]()
        query = select(dataset_pins).where(dataset_pins.c.task_id.in_(list(task_ids))).order_by(dataset_pins.c.name)
        with self._database.read() as connection:
            for row in connection.execute(query):
                named.setdefault(row.task_id, f"{row.name}@{row.ordinal}")
        return named

    def stored_by(self, owners: Iterable[str] | None = None) -> dict[str, int]:
        """Bytes that the datasets of each owner hold; deleted ones as long as tasks need them.

        What a split made two datasets of one owner share counts once, as long as both are there.
        """
        of_owners = datasets.c.owner.is_not(None) if owners is None else datasets.c.owner.in_(list(owners))
        held = select(datasets.c.owner, func.sum(datasets.c.stored_bytes).label("bytes")).group_by(datasets.c.owner)
        source, shared = datasets.alias("source"), func.sum(dataset_versions.c.shared_bytes).label("bytes")
        both = dataset_versions.join(source, source.c.serial == dataset_versions.c.split_from).join(
            datasets, datasets.c.serial == dataset_versions.c.dataset
        )
        twice = select(datasets.c.owner, shared).select_from(both).where(source.c.owner == datasets.c.owner)
        with self._database.read() as connection:
            bytes_of = {row.owner: int(row.bytes) for row in connection.execute(held.where(of_owners))}
            for row in connection.execute(twice.where(of_owners).group_by(datasets.c.owner)):
                bytes_of[row.owner] -= int(row.bytes)
        return bytes_of


def _find(connection: Connection, name: str, *, locks: bool = False) -> Row[Any]:
    query = _SELECT.where(datasets.c.name == name, IS_THERE)
    row = connection.execute(query.with_for_update(of=datasets) if locks else query).one_or_none()
    if row is None:
        raise DatasetNotFound(f'No dataset is called "{name[:100]}".')
    return row


def _users(connection: Connection, serial: int, *, are_active: bool) -> list[str]:
    """The ids of tasks, or that it is somebody else's where whoever asks may not know them."""
    pinned = dataset_pins.join(tasks, tasks.c.task_id == dataset_pins.c.task_id)
    query = select(dataset_pins.c.task_id, tasks.c.owner).select_from(pinned).where(dataset_pins.c.dataset == serial)
    if are_active:
        query = query.where(tasks.c.status.not_in(_FINISHED))
    sight = current_sight.get()
    found = {row.task_id if sight.sees(row.owner) else ANOTHERS_TASK for row in connection.execute(query)}
    return sorted(found)


def _conditions(wanted: DatasetFilter, dialect: str) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [IS_THERE]
    conditions += [datasets.c.owner == owner for owner in (wanted.owner, wanted.seen_by) if owner is not None]
    if wanted.search:
        # The texts of tags, and not the JSON around them, which has commas and brackets of its own.
        values = func.json_each if dialect == "sqlite" else func.json_array_elements_text
        tag = values(datasets.c.tags).table_valued("value")
        columns = (datasets.c.name, datasets.c.description, tag.c.value)
        *plain, tagged = (column.icontains(wanted.search, autoescape=True) for column in columns)
        conditions.append(or_(*plain, select(1).select_from(tag).where(tagged).correlate(datasets).exists()))
    return conditions


def _clean(text: str | None) -> str | None:
    return None if text is None else clean(text)


def _read(row: Row[Any]) -> Dataset:
    return Dataset(
        serial=row.serial,
        name=row.name or "",
        owner=row.owner,
        description=row.description,
        tags=tuple(row.tags),
        directory=row.directory,
        created_at=to_time(row.created_at),
        updated_at=to_time(row.updated_at),
        latest=row.latest,
        stored_bytes=row.stored_bytes,
        items=row.item_count,
        watch=None if row.watch is None else _WATCH.validate_python(row.watch),
    )
