"""The dataset versions that tasks use, stored in the tasks' own transactions."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select

from api.db.dataset_tables import dataset_pins, datasets
from api.db.version_runs import keep_version
from api.domain.dataset import PinnedDataset
from api.errors import DatasetNotFound


def pin_datasets(connection: Connection, task_id: str, pins: Sequence[PinnedDataset]) -> None:
    """Replace the versions that a task uses. Raise DatasetNotFound for a deleted dataset that no task uses."""
    for pin in pins:
        # The lock makes a concurrent deletion of the dataset wait for this transaction.
        locked = select(datasets.c.deleted_at).where(datasets.c.serial == pin.serial).with_for_update()
        row = connection.execute(locked).one_or_none()
        if row is None or (row.deleted_at is not None and not _is_pinned(connection, pin)):
            raise DatasetNotFound(f"The dataset {pin.dataset} was deleted meanwhile.")
        keep_version(connection, pin.serial, pin.version)
    connection.execute(delete(dataset_pins).where(dataset_pins.c.task_id == task_id))
    rows = {
        (pin.manifest_sha256, pin.serial): {
            "task_id": task_id,
            "manifest": pin.manifest_sha256,
            "dataset": pin.serial,
            "ordinal": pin.version,
            "name": pin.dataset,
        }
        for pin in pins
    }
    if rows:
        connection.execute(insert(dataset_pins), list(rows.values()))


def _is_pinned(connection: Connection, pin: PinnedDataset) -> bool:
    same = (dataset_pins.c.dataset == pin.serial) & (dataset_pins.c.manifest == pin.manifest_sha256)
    return connection.execute(select(dataset_pins.c.task_id).where(same).limit(1)).first() is not None
