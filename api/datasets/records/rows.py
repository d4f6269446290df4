"""Insert and read the rows of datasets and versions in a transaction of the caller."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from api.db.dataset_tables import dataset_blobs, dataset_versions, datasets
from api.db.rows import dump_fields, to_seconds, to_time
from api.domain.datasets.dataset import Dataset, DatasetVersion
from api.errors import DatasetChanged, DatasetExists, DatasetNotFound

IS_THERE = datasets.c.deleted_at.is_(None)


@dataclass(frozen=True, slots=True)
class NewVersion:
    """A version to insert."""

    manifest_sha256: str
    actor: str
    message: str
    items: int
    size_bytes: int
    origin: Mapping[str, Any] | None = None
    claim: int | None = None  #: the claim that holds its blobs; None: earlier versions hold them all
    claimed_blobs: int = 0  #: number of blobs of the claim
    excluded: int = 0  #: number of excluded items
    split_from: int | None = None  #: the dataset whose split provided the new items
    shared_bytes: int = 0  #: bytes of its claim that `split_from` also holds


def insert_dataset(connection: Connection, new: Dataset) -> int:
    """Insert a dataset without any version, and return its serial. Raises DatasetExists."""
    row = dump_fields(new, datasets, updated_at=to_seconds(new.created_at))
    del row["serial"]  # the database assigns it
    try:
        key = connection.execute(insert(datasets).values(row)).inserted_primary_key
    except IntegrityError:
        raise DatasetExists(f'A dataset with the name "{new.name}" exists already.', data={"name": new.name}) from None
    return 0 if key is None else int(key[0])


def insert_version(
    connection: Connection, serial: int, new: NewVersion, expected_latest: int | None, now: datetime
) -> DatasetVersion:
    """Insert the newest version of a dataset. Raises DatasetChanged, DatasetNotFound."""
    ordinal = (expected_latest or 0) + 1
    is_latest = datasets.c.latest.is_(None) if expected_latest is None else datasets.c.latest == expected_latest
    stored = datasets.c.stored_bytes + _take_over(connection, serial, new)
    changed = connection.execute(
        update(datasets)
        .where(datasets.c.serial == serial, IS_THERE, is_latest)
        .values(latest=ordinal, updated_at=to_seconds(now), stored_bytes=stored)
    )
    if not changed.rowcount:
        _raise_conflict(connection, serial, expected_latest)
    row = dump_fields(
        new,
        dataset_versions,
        dataset=serial,
        ordinal=ordinal,
        manifest=new.manifest_sha256,
        created_at=to_seconds(now),
        shared_bytes=new.shared_bytes or None,
    )
    connection.execute(insert(dataset_versions).values(row))
    return read_version(row)


def _take_over(connection: Connection, serial: int, new: NewVersion) -> int:
    """Return the bytes of the blobs held for a version. Raises DatasetChanged if some are no longer held."""
    if new.claim is None:
        return 0
    mine = (dataset_blobs.c.dataset == serial) & (dataset_blobs.c.claim == new.claim)
    figures = select(func.count().label("blobs"), func.coalesce(func.sum(dataset_blobs.c.size_bytes), 0).label("bytes"))
    row = connection.execute(figures.where(mine)).one()
    if row.blobs != new.claimed_blobs:
        raise DatasetChanged("Making the version took too long, so its files are no longer reserved: try again.")
    return int(row.bytes)


def _raise_conflict(connection: Connection, serial: int, expected: int | None) -> None:
    latest = select(datasets.c.latest).where(datasets.c.serial == serial, IS_THERE)
    row = connection.execute(latest).one_or_none()
    if row is None:
        raise DatasetNotFound("The dataset was deleted meanwhile.")
    raise DatasetChanged(
        f"The newest version is {row.latest}, not {expected}: load it and try again.", data={"latest": row.latest}
    )


def read_version(values: Mapping[str, Any]) -> DatasetVersion:
    """Return the version that has this row."""
    return DatasetVersion(
        ordinal=values["ordinal"],
        manifest_sha256=values["manifest"],
        created_at=to_time(values["created_at"]),
        actor=values["actor"],
        message=values["message"],
        items=values["items"],
        size_bytes=values["size_bytes"],
        origin=values["origin"],
        excluded=values["excluded"] or 0,
    )
