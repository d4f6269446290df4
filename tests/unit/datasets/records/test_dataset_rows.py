"""Rows of datasets and versions, in a transaction of the caller."""

from dataclasses import replace

import pytest
from sqlalchemy import select

from api.datasets.records.rows import NewVersion, insert_dataset, insert_version, read_version
from api.db.database import Database
from api.db.dataset_tables import dataset_versions
from api.domain.datasets.dataset import Dataset
from api.errors import DatasetChanged, DatasetExists, DatasetNotFound
from tests.unit.db.builders import NOW

CATS = Dataset(0, "cats", "ann", None, (), None, NOW, NOW, None)
VERSION = NewVersion("a" * 64, "ann", "first", 5, 10, {"edited": 1}, excluded=2)


def test_version_is_read_as_it_was_inserted(database: Database):
    with database.write(is_audited=False) as connection:
        serial = insert_dataset(connection, CATS)
        made = insert_version(connection, serial, VERSION, None, NOW)
        row = connection.execute(select(dataset_versions)).one()
    assert read_version(row._asdict()) == made
    assert (made.ordinal, made.items, made.excluded, made.origin) == (1, 5, 2, {"edited": 1})


def test_version_of_an_older_server_has_no_excluded_items(database: Database):
    with database.write(is_audited=False) as connection:
        made = insert_version(connection, insert_dataset(connection, CATS), VERSION, None, NOW)
        connection.execute(dataset_versions.update().values(excluded=None))
        row = connection.execute(select(dataset_versions)).one()
    assert read_version(row._asdict()) == replace(made, excluded=0)


def test_name_is_unique_and_a_version_follows_the_newest(database: Database):
    with database.write(is_audited=False) as connection:
        serial = insert_dataset(connection, CATS)
    with pytest.raises(DatasetExists), database.write(is_audited=False) as connection:
        insert_dataset(connection, CATS)
    for dataset, expected, error in ((serial, 7, DatasetChanged), (999, None, DatasetNotFound)):
        with pytest.raises(error), database.write(is_audited=False) as connection:
            insert_version(connection, dataset, VERSION, expected, NOW)


def test_released_claim_creates_no_version(database: Database):
    with database.write(is_audited=False) as connection:
        serial = insert_dataset(connection, CATS)
    with pytest.raises(DatasetChanged, match="too long"), database.write(is_audited=False) as connection:
        insert_version(connection, serial, replace(VERSION, claim=1, claimed_blobs=3), None, NOW)
