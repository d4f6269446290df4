"""Store splits of datasets: one transaction inserts the new versions of both datasets."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from api.datasets.records.hold_store import claim_rows
from api.datasets.records.rows import NewVersion, insert_dataset, insert_version
from api.db.database import Database
from api.db.dataset_tables import dataset_blobs, datasets
from api.domain.access.audit import note_change
from api.domain.datasets.dataset import Dataset, DatasetVersion
from api.errors import DatasetChanged
from api.util.batches import in_batches

#: Rows per statement.
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class SplitSide:
    """One of the two datasets with its new version. A dataset without a serial number is created by the split."""

    dataset: Dataset
    version: NewVersion
    blobs: Mapping[str, int]  #: sizes in bytes of the blobs that the dataset does not hold yet, by hash


class DatasetSplitStore:
    """Stores splits in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def split(
        self, source: SplitSide, target: SplitSide, now: datetime, steady: datetime
    ) -> tuple[DatasetVersion, DatasetVersion]:
        """Insert both versions, or neither, and return them; `steady` is the time of their claims.

        Raises DatasetChanged, DatasetExists, DatasetNotFound.
        """
        try:
            with self._database.write() as connection:
                # Locked in a fixed order, so that two splits in opposite directions do not deadlock.
                both = datasets.c.serial.in_((source.dataset.serial, target.dataset.serial))
                connection.execute(select(datasets.c.serial).where(both).order_by(datasets.c.serial).with_for_update())
                rest, moved = _insert(connection, source, now, steady), _insert(connection, target, now, steady)
                numbers = {"version": rest.ordinal, "into": target.dataset.name, "into_version": moved.ordinal}
                note_change(
                    about=source.dataset.name,
                    before={"version": source.dataset.latest},
                    after=numbers | {"moved": moved.items},
                )
        except IntegrityError:
            raise DatasetChanged("Another request made a version at the same time: try again.") from None
        return rest, moved


def _insert(connection: Connection, side: SplitSide, now: datetime, steady: datetime) -> DatasetVersion:
    serial = side.dataset.serial or insert_dataset(connection, side.dataset)
    claim, rows = claim_rows(serial, side.blobs, steady)
    for batch in in_batches(rows, _BATCH):
        connection.execute(insert(dataset_blobs), batch)
    version = replace(side.version, claim=claim, claimed_blobs=len(rows))
    return insert_version(connection, serial, version, side.dataset.latest, now)
