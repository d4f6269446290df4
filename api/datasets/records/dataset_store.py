"""Datasets and their versions in the database, and the tasks that use them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, func, or_, select, update
from sqlalchemy.exc import IntegrityError

from api.datasets.records.rows import IS_THERE, NewVersion, insert_dataset, insert_version, read_version
from api.db.database import Database
from api.db.dataset_tables import (
    dataset_pins,
    dataset_versions,
    datasets,
)
from api.db.rows import clean, dump, read_fields, select_page, to_seconds
from api.db.tables import servers, tasks
from api.db.version_runs import VersionRuns
from api.domain.access.audit import note_change
from api.domain.access.read_scope import OTHER_USERS_TASK, current_scope
from api.domain.datasets.dataset import Dataset, DatasetVersion, DirectoryWatch, PinnedDataset
from api.domain.tasks.training import FINISHED
from api.errors import DatasetChanged, DatasetExists, DatasetInUse, DatasetNotFound, VersionNotFound
from api.util.http.pagination import Page, PageRequest

#: An additional action in a transaction.
Action = Callable[[Connection], Any]

_HOLDS_LATEST = (dataset_versions.c.dataset == datasets.c.serial) & (dataset_versions.c.ordinal == datasets.c.latest)

#: Datasets, each with the number of items in its newest version.
_SELECT = select(datasets, dataset_versions.c["items"].label("item_count")).select_from(
    datasets.outerjoin(dataset_versions, _HOLDS_LATEST)
)


@dataclass(frozen=True, slots=True)
class DatasetFilter:
    """The filter of a list of datasets; None does not filter."""

    search: str | None = None  #: part of name, description or a tag
    owner: str | None = None
    seen_by: str | None = None  #: only this user's datasets are visible; None: all


class DatasetStore:
    """Stores datasets and versions. Each change is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.runs = VersionRuns(database)

    def may_compress(self) -> bool:
        """Return whether every server on this database reads compressed manifests.

        In a rolling upgrade older servers do not. A killed server counts until its row is deleted.
        """
        with self._database.read() as connection:
            return connection.scalar(select(servers.c.server_id).where(servers.c.reads_gzip.is_(None)).limit(1)) is None

    # -- datasets ------------------------------------------------------------------------------------------------------

    def create(self, new: Dataset) -> Dataset:
        """Store a new dataset without a version, and return it with its serial number. Raises DatasetExists."""
        with self._database.write() as connection:
            serial = insert_dataset(connection, new)
            note_change(about=new.name, after={"name": new.name, "directory": new.directory})
        return replace(new, serial=serial, updated_at=new.created_at)

    def get(self, name: str) -> Dataset:
        """Return the dataset with this name. Raises DatasetNotFound."""
        with self._database.read() as connection:
            return _read(_find(connection, name))

    def get_by_serial(self, serial: int) -> Dataset | None:
        """Return the dataset with this serial number, including a deleted one that tasks use; None if there is none."""
        with self._database.read() as connection:
            row = connection.execute(_SELECT.where(datasets.c.serial == serial)).one_or_none()
            return None if row is None else _read(row)

    def page(self, wanted: DatasetFilter, request: PageRequest) -> Page[Dataset]:
        """Return datasets, newest first."""
        with self._database.read() as connection:
            query = _SELECT.where(*_conditions(wanted, connection.dialect.name))
            return select_page(connection, query, datasets.c.serial, request, _read)

    def registered(self) -> list[Dataset]:
        """Return the datasets that are directories on a server."""
        with self._database.read() as connection:
            found = connection.execute(_SELECT.where(datasets.c.directory.is_not(None), IS_THERE))
            return [_read(row) for row in found]

    def change(self, name: str, changes: Mapping[str, Any], now: datetime) -> Dataset:
        """Change name, description or tags. Raises DatasetNotFound, DatasetExists."""
        values = {key: _clean(value) if isinstance(value, str) else value for key, value in changes.items()}
        try:
            with self._database.write() as connection:
                before = _read(_find(connection, name))
                old = {key: getattr(before, key) for key in changes}
                note_change(about=name, before=old, after=dict(changes))
                is_it = (datasets.c.serial == before.serial) & IS_THERE
                connection.execute(update(datasets).where(is_it).values(updated_at=to_seconds(now), **values))
                row = connection.execute(_SELECT.where(datasets.c.serial == before.serial)).one()
        except IntegrityError:
            raise DatasetExists(f'A dataset with the name "{changes.get("name")}" exists already.') from None
        return _read(row)

    def delete(self, name: str, now: datetime) -> Dataset:
        """Delete a dataset; data that finished tasks need stays until they are deleted.

        Raises DatasetNotFound; DatasetInUse with the unfinished tasks.
        """
        with self._database.write() as connection:
            row = _find(connection, name, locks=True)
            users = _users(connection, row.serial, are_active=True)
            if users:
                raise DatasetInUse(
                    f"Unfinished tasks use {name}: stop them, or wait until they finish.", data={"tasks": users}
                )
            note_change(about=name, before={"owner": row.owner, "latest": row.latest, "bytes": row.stored_bytes})
            values = {"name": None, "deleted_at": to_seconds(now)}
            connection.execute(update(datasets).where(datasets.c.serial == row.serial).values(values))
        return _read(row)

    def users(self, serial: int, *, are_active: bool = False) -> list[str]:
        """Return the tasks that use a dataset; with `are_active` only unfinished ones."""
        with self._database.read() as connection:
            return _users(connection, serial, are_active=are_active)

    def note_watch(self, serial: int, watch: DirectoryWatch) -> bool:
        """Store the result of a check of a registered directory; return False if the dataset does not exist."""
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
        also: Action = lambda connection: None,
    ) -> DatasetVersion:
        """Make this the newest version if the newest one is `expected_latest`; run `also` in the same transaction.

        Its blobs must be held already, by its claim or earlier versions. Raises DatasetChanged, DatasetNotFound.
        """
        try:
            with self._database.write() as connection:
                made = insert_version(connection, serial, new, expected_latest, now)
                also(connection)
                values = {"version": made.ordinal, "manifest": new.manifest_sha256, "items": new.items}
                note_change(before={"version": expected_latest}, after=values)
        except IntegrityError:
            # Another writer inserted the rows of the same manifest at the same time.
            raise DatasetChanged("Another request made the same version at the same time: try again.") from None
        return made

    def get_version(self, serial: int, ordinal: int) -> DatasetVersion:
        """Return the version with this number. Raises VersionNotFound."""
        return self._version(serial, dataset_versions.c.ordinal == ordinal, str(ordinal))

    def find_version(self, serial: int, manifest_sha256: str) -> DatasetVersion:
        """Return the newest version with this manifest. Raises VersionNotFound."""
        return self._version(serial, dataset_versions.c.manifest == manifest_sha256, f"sha256:{manifest_sha256}")

    def _version(self, serial: int, which: ColumnElement[bool], shown: str) -> DatasetVersion:
        newest = select(dataset_versions).order_by(dataset_versions.c.ordinal.desc()).limit(1)
        with self._database.read() as connection:
            row = connection.execute(newest.where(dataset_versions.c.dataset == serial, which)).one_or_none()
        if row is None:
            raise VersionNotFound(f"The dataset has no version {shown}.")
        return read_version(row._asdict())

    def versions(self, serial: int, request: PageRequest) -> Page[DatasetVersion]:
        """Return versions, newest first. Superseded versions are omitted."""
        mine = (dataset_versions.c.dataset == serial) & dataset_versions.c.superseded_at.is_(None)
        query, ordinal = select(dataset_versions).where(mine), dataset_versions.c.ordinal
        with self._database.read() as connection:
            return select_page(connection, query, ordinal, request, lambda row: read_version(row._asdict()))

    def origins(self, serial: int, after: int = 0) -> list[Mapping[str, Any]]:
        """Return the origins of the versions after this one, newest first; versions without one are omitted."""
        mine = (dataset_versions.c.dataset == serial) & (dataset_versions.c.ordinal > after)
        query = select(dataset_versions.c.origin).where(mine).order_by(dataset_versions.c.ordinal.desc())
        with self._database.read() as connection:
            return [origin for origin in connection.scalars(query) if origin is not None]

    # -- uses ----------------------------------------------------------------------------------------------------------

    def find_pinned(self, task_ids: Iterable[str], manifest_sha256: str) -> PinnedDataset | None:
        """Return the version with this manifest that one of these tasks uses, or None."""
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
        """Return the versions that these tasks use."""
        query = select(dataset_pins).where(dataset_pins.c.task_id.in_(list(task_ids)))
        with self._database.read() as connection:
            return [
                PinnedDataset(row.name, row.ordinal, f"sha256:{row.manifest}", 0, row.dataset)
                for row in connection.execute(query)
            ]

    def used_by(self, task_ids: Iterable[str]) -> dict[str, str]:
        """Return a reference (name@3) to the version that each task uses; of several the first by name."""
        named = dict[str, str]()
        query = select(dataset_pins).where(dataset_pins.c.task_id.in_(list(task_ids))).order_by(dataset_pins.c.name)
        with self._database.read() as connection:
            for row in connection.execute(query):
                named.setdefault(row.task_id, f"{row.name}@{row.ordinal}")
        return named

    def stored_by(self, owners: Iterable[str] | None = None) -> dict[str, int]:
        """Return the bytes that the datasets of each owner hold, including deleted ones that tasks need.

        Blobs that two datasets of one owner share after a split count once while both exist.
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
        raise DatasetNotFound.named(name)
    return row


def _users(connection: Connection, serial: int, *, are_active: bool) -> list[str]:
    """Return the ids of tasks, with a placeholder for tasks that the caller may not see."""
    pinned = dataset_pins.join(tasks, tasks.c.task_id == dataset_pins.c.task_id)
    query = select(dataset_pins.c.task_id, tasks.c.owner).select_from(pinned).where(dataset_pins.c.dataset == serial)
    if are_active:
        query = query.where(tasks.c.status.not_in(FINISHED))
    scope = current_scope.get()
    found = {row.task_id if scope.sees(row.owner) else OTHER_USERS_TASK for row in connection.execute(query)}
    return sorted(found)


def _conditions(wanted: DatasetFilter, dialect: str) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [IS_THERE]
    conditions += [datasets.c.owner == owner for owner in (wanted.owner, wanted.seen_by) if owner is not None]
    if wanted.search:
        # Search the tags, not the JSON around them with its commas and brackets.
        values = func.json_each if dialect == "sqlite" else func.json_array_elements_text
        tag = values(datasets.c.tags).table_valued("value")
        columns = (datasets.c.name, datasets.c.description, tag.c.value)
        *plain, tagged = (column.icontains(wanted.search, autoescape=True) for column in columns)
        conditions.append(or_(*plain, select(1).select_from(tag).where(tagged).correlate(datasets).exists()))
    return conditions


def _clean(text: str | None) -> str | None:
    return None if text is None else clean(text)


def _read(row: Row[Any]) -> Dataset:
    return read_fields(Dataset, row, name=row.name or "", items=row.item_count)
