"""Holds: which dataset needs which blobs. A deleted dataset keeps its holds until no task needs them."""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, exists, func, insert, select, tuple_, update

from api.db.database import Database
from api.db.dataset_tables import (
    blob_store,
    dataset_blobs,
    dataset_pins,
    dataset_versions,
    datasets,
    registered_files,
    uploads,
)
from api.db.insertion import insert_missing
from api.db.rows import to_seconds
from api.util.batches import in_batches

#: Rows per transaction, so that other writers are not blocked for long.
_BATCH = 1000

#: Seconds within which a version must take over a claim.
CLAIM_SECONDS = 3600.0

#: A claim is its time in milliseconds followed by this many random bits, which make it unique.
_RANDOM_BITS = 20


def claim_rows(serial: int, blobs: Mapping[str, int], now: datetime) -> tuple[int, list[dict[str, Any]]]:
    """Return a new claim, and the rows that hold these blobs for a dataset under it."""
    claim = int(to_seconds(now) * 1000) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    return claim, [
        {"sha256": sha256, "dataset": serial, "claim": claim, "size_bytes": size} for sha256, size in blobs.items()
    ]


class DatasetHolds:
    """Stores and removes the holds of datasets in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def hold(self, serial: int, blobs: Mapping[str, int], now: datetime) -> int:
        """Hold these blobs (sizes in bytes by hash) for the dataset, so that they are not collected. Return the claim.

        A version must take over the claim within an hour.
        """
        claim, rows = claim_rows(serial, blobs, now)
        for batch in in_batches(rows, _BATCH):
            with self._database.write(is_audited=False) as connection:
                connection.execute(insert(dataset_blobs), batch)
        return claim

    def held(self, serial: int) -> set[str]:
        """Return the hashes of the blobs that the versions of a dataset hold."""
        claims = select(dataset_versions.c.claim).where(dataset_versions.c.dataset == serial)
        with self._database.read() as connection:
            mine = (dataset_blobs.c.dataset == serial) & dataset_blobs.c.claim.in_(claims)
            return set(connection.scalars(select(dataset_blobs.c.sha256).where(mine)))

    def manifest_bytes(self, serial: int) -> int:
        """Return the total bytes of the manifests of all versions."""
        held = select(dataset_blobs.c.sha256, func.max(dataset_blobs.c.size_bytes).label("bytes"))
        manifests = select(dataset_versions.c.manifest).where(dataset_versions.c.dataset == serial)
        mine = (dataset_blobs.c.dataset == serial) & dataset_blobs.c.sha256.in_(manifests)
        each = held.where(mine).group_by(dataset_blobs.c.sha256).subquery()
        with self._database.read() as connection:
            return int(connection.scalar(select(func.coalesce(func.sum(each.c.bytes), 0))) or 0)

    def needed(self, hashes: Sequence[str]) -> set[str]:
        """Return those of these blobs that a dataset or an upload needs."""
        if not hashes:
            return set()
        with self._database.read() as connection:
            held = connection.scalars(select(dataset_blobs.c.sha256).where(dataset_blobs.c.sha256.in_(hashes)))
            uploaded = connection.scalars(select(uploads.c.sha256).where(uploads.c.sha256.in_(hashes)))
            return {sha256 for found in (held, uploaded) for sha256 in found if sha256 is not None}

    def purge(self, now: datetime) -> int:
        """Remove the holds of deleted datasets that no task needs, and expired claims.

        Returns the number of removed datasets.
        """
        pinned = exists().where(dataset_pins.c.dataset == datasets.c.serial)
        is_unneeded = datasets.c.deleted_at.is_not(None) & ~pinned
        with self._database.read() as connection:
            deleted = list(connection.scalars(select(datasets.c.serial).where(is_unneeded)))
        for serial in deleted:
            with self._database.write(is_audited=False) as connection:
                connection.execute(select(datasets.c.serial).where(datasets.c.serial == serial).with_for_update())
                connection.execute(delete(datasets).where(datasets.c.serial == serial, is_unneeded))
        for table in (dataset_blobs, registered_files, dataset_versions):
            self._remove_orphans(table)
        self._remove_old_claims(int((to_seconds(now) - CLAIM_SECONDS) * 1000) << _RANDOM_BITS)
        return len(deleted)

    def remove_superseded(self, before: datetime) -> int:
        """Remove versions that edits superseded before this time, unless they are needed; return their number."""
        other = dataset_versions.alias()
        same = dataset_versions.c.manifest
        pinned = exists().where(dataset_pins.c.dataset == dataset_versions.c.dataset, dataset_pins.c.manifest == same)
        # Another version with the same items may depend on the blobs that this one holds.
        shared = exists().where(
            other.c.dataset == dataset_versions.c.dataset,
            other.c.manifest == same,
            other.c.ordinal != dataset_versions.c.ordinal,
        )
        is_old = dataset_versions.c.superseded_at < to_seconds(before)
        unneeded = is_old & dataset_versions.c.is_kept.is_not(True) & ~pinned & ~shared
        columns = (dataset_versions.c.dataset, dataset_versions.c.ordinal, dataset_versions.c.claim)
        with self._database.read() as connection:
            found = connection.execute(select(*columns).where(unneeded)).all()
        for batch in in_batches(found, _BATCH // 10):
            with self._database.write(is_audited=False) as connection:
                for row in batch:
                    self._remove_version(connection, row, unneeded)
        return len(found)

    @staticmethod
    def _remove_version(connection: Connection, row: Any, unneeded: ColumnElement[bool]) -> None:
        # A transaction that pins or restores the version waits for this lock, or has marked the version as in use.
        is_its = datasets.c.serial == row.dataset
        connection.execute(select(datasets.c.serial).where(is_its).with_for_update())
        is_it = (dataset_versions.c.dataset == row.dataset) & (dataset_versions.c.ordinal == row.ordinal)
        if not connection.execute(delete(dataset_versions).where(is_it, unneeded)).rowcount:
            return
        mine = (dataset_blobs.c.dataset == row.dataset) & (dataset_blobs.c.claim == row.claim)
        held = connection.scalar(select(func.coalesce(func.sum(dataset_blobs.c.size_bytes), 0)).where(mine)) or 0
        connection.execute(delete(dataset_blobs).where(mine))
        connection.execute(update(datasets).where(is_its).values(stored_bytes=datasets.c.stored_bytes - held))

    def _remove_old_claims(self, before: int) -> None:
        """Remove claims of processes that were killed before they made their version."""
        columns, last = (dataset_blobs.c.dataset, dataset_blobs.c.claim), (0, 0)
        while True:
            found = select(*columns).where(tuple_(*columns) > tuple_(*last)).order_by(*columns).limit(1)
            with self._database.read() as connection:
                row = connection.execute(found).first()
                if row is None:
                    return
                is_it = (dataset_versions.c.dataset == row.dataset) & (dataset_versions.c.claim == row.claim)
                is_taken = connection.execute(select(dataset_versions.c.ordinal).where(is_it)).first() is not None
            if not is_taken and row.claim < before:
                with self._database.write(is_audited=False) as connection:
                    mine = (dataset_blobs.c.dataset == row.dataset) & (dataset_blobs.c.claim == row.claim)
                    in_use = exists().where(is_it)
                    connection.execute(delete(dataset_blobs).where(mine, ~in_use))
            last = (row.dataset, row.claim)

    def _remove_orphans(self, table: Table) -> None:
        """Remove the rows of datasets that do not exist, including those left by a killed pass."""
        last = 0
        while True:
            with self._database.read() as connection:
                found = connection.scalar(select(func.min(table.c.dataset)).where(table.c.dataset > last))
                if found is None:
                    return
                owner_exists = connection.scalar(select(datasets.c.serial).where(datasets.c.serial == found))
            if owner_exists is None:
                self._remove_rows(table, found)
            last = found

    def _remove_rows(self, table: Table, serial: int) -> None:
        keys = [column for column in table.primary_key.columns if column.name != "dataset"]
        mine = table.c.dataset == serial
        while True:
            with self._database.write(is_audited=False) as connection:
                some = connection.scalars(select(keys[0]).where(mine).limit(_BATCH)).all()
                if not some:
                    return
                connection.execute(delete(table).where(mine, keys[0].in_(some)))

    def belongs_with(self, store: str) -> bool:
        """Return whether the blob store with this id belongs to this database; the first store that is checked does."""
        with self._database.read() as connection:
            known = connection.scalar(select(blob_store.c.store).where(blob_store.c.id == 1))
        if known is None:
            with self._database.write(is_audited=False) as connection:
                insert_missing(connection, blob_store, [{"id": 1, "store": store}])
                known = connection.scalar(select(blob_store.c.store).where(blob_store.c.id == 1))
        return known == store
