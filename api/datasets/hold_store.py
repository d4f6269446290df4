"""Which blobs datasets hold: what nobody holds is collected, and what a deleted dataset held, once no task needs it."""

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

#: Rows of one transaction: other writers get their turn between two.
_BATCH = 1000

#: Seconds within which a claim becomes a version's.
CLAIM_SECONDS = 3600.0

#: A claim is the milliseconds of its time, and so many random bits that tell those of one time apart.
_RANDOM_BITS = 20


def claim_rows(serial: int, blobs: Mapping[str, int], now: datetime) -> tuple[int, list[dict[str, Any]]]:
    """Return a new claim, and the rows by which a dataset holds these blobs under it."""
    claim = int(to_seconds(now) * 1000) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    return claim, [
        {"sha256": sha256, "dataset": serial, "claim": claim, "size_bytes": size} for sha256, size in blobs.items()
    ]


class DatasetHolds:
    """Holds in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def hold(self, serial: int, blobs: Mapping[str, int], now: datetime) -> int:
        """Has the dataset hold these blobs, sizes in bytes by hash, so that nobody collects them. Returns the claim, by
        which a version must take them over within an hour.
        """
        claim, rows = claim_rows(serial, blobs, now)
        for batch in in_batches(rows, _BATCH):
            with self._database.write(is_audited=False) as connection:
                connection.execute(insert(dataset_blobs), batch)
        return claim

    def held(self, serial: int) -> set[str]:
        """The blobs that the versions of a dataset hold."""
        claims = select(dataset_versions.c.claim).where(dataset_versions.c.dataset == serial)
        with self._database.read() as connection:
            mine = (dataset_blobs.c.dataset == serial) & dataset_blobs.c.claim.in_(claims)
            return set(connection.scalars(select(dataset_blobs.c.sha256).where(mine)))

    def manifest_bytes(self, serial: int) -> int:
        """Bytes of the manifests of all versions: what their lists of items take, each whole."""
        held = select(dataset_blobs.c.sha256, func.max(dataset_blobs.c.size_bytes).label("bytes"))
        manifests = select(dataset_versions.c.manifest).where(dataset_versions.c.dataset == serial)
        mine = (dataset_blobs.c.dataset == serial) & dataset_blobs.c.sha256.in_(manifests)
        each = held.where(mine).group_by(dataset_blobs.c.sha256).subquery()
        with self._database.read() as connection:
            return int(connection.scalar(select(func.coalesce(func.sum(each.c.bytes), 0))) or 0)

    def needed(self, hashes: Sequence[str]) -> set[str]:
        """Which of these blobs some dataset or upload needs."""
        if not hashes:
            return set()
        with self._database.read() as connection:
            held = connection.scalars(select(dataset_blobs.c.sha256).where(dataset_blobs.c.sha256.in_(hashes)))
            uploaded = connection.scalars(select(uploads.c.sha256).where(uploads.c.sha256.in_(hashes)))
            return {sha256 for found in (held, uploaded) for sha256 in found if sha256 is not None}

    def purge(self, now: datetime) -> int:
        """Lets go of the blobs of deleted datasets that no task needs any more, and of claims that no version has taken
        over; how many datasets went.
        """
        pinned = exists().where(dataset_pins.c.dataset == datasets.c.serial)
        is_gone = datasets.c.deleted_at.is_not(None) & ~pinned
        with self._database.read() as connection:
            gone = list(connection.scalars(select(datasets.c.serial).where(is_gone)))
        for serial in gone:
            with self._database.write(is_audited=False) as connection:
                connection.execute(select(datasets.c.serial).where(datasets.c.serial == serial).with_for_update())
                connection.execute(delete(datasets).where(datasets.c.serial == serial, is_gone))
        for table in (dataset_blobs, registered_files, dataset_versions):
            self._remove_orphans(table)
        self._remove_old_claims(int((to_seconds(now) - CLAIM_SECONDS) * 1000) << _RANDOM_BITS)
        return len(gone)

    def remove_superseded(self, before: datetime) -> int:
        """Remove versions that edits superseded before this time, unless something needs them; return how many went."""
        other = dataset_versions.alias()
        same = dataset_versions.c.manifest
        pinned = exists().where(dataset_pins.c.dataset == dataset_versions.c.dataset, dataset_pins.c.manifest == same)
        # Another version with the same items may rest on what this one holds.
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
        # Whoever pins or restores it waits for this lock, or has it marked as kept.
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
        """Removes claims of processes that were killed before they made their version."""
        place, last = (dataset_blobs.c.dataset, dataset_blobs.c.claim), (0, 0)
        while True:
            found = select(*place).where(tuple_(*place) > tuple_(*last)).order_by(*place).limit(1)
            with self._database.read() as connection:
                row = connection.execute(found).first()
                if row is None:
                    return
                is_it = (dataset_versions.c.dataset == row.dataset) & (dataset_versions.c.claim == row.claim)
                is_taken = connection.execute(select(dataset_versions.c.ordinal).where(is_it)).first() is not None
            if not is_taken and row.claim < before:
                with self._database.write(is_audited=False) as connection:
                    mine = (dataset_blobs.c.dataset == row.dataset) & (dataset_blobs.c.claim == row.claim)
                    taken = exists().where(is_it)
                    connection.execute(delete(dataset_blobs).where(mine, ~taken))
            last = (row.dataset, row.claim)

    def _remove_orphans(self, table: Table) -> None:
        """Removes the rows of datasets that are no more, be it since a pass that was killed."""
        last = 0
        while True:
            with self._database.read() as connection:
                found = connection.scalar(select(func.min(table.c.dataset)).where(table.c.dataset > last))
                if found is None:
                    return
                is_there = connection.scalar(select(datasets.c.serial).where(datasets.c.serial == found))
            if is_there is None:
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
        """Whether the store of blobs with this id is this database's; the first one that asks becomes it."""
        with self._database.read() as connection:
            known = connection.scalar(select(blob_store.c.store).where(blob_store.c.id == 1))
        if known is None:
            with self._database.write(is_audited=False) as connection:
                insert_missing(connection, blob_store, [{"id": 1, "store": store}])
                known = connection.scalar(select(blob_store.c.store).where(blob_store.c.id == 1))
        return known == store
