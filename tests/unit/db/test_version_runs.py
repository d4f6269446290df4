from datetime import UTC, datetime, timedelta

import pytest

from api.datasets.records.dataset_store import DatasetStore, NewVersion
from api.db.database import Database
from api.db.version_runs import VersionRun, begin_run, in_turn, join_run, keep_version
from api.domain.datasets.dataset import Dataset
from api.errors import DatasetChanged
from api.util.http.pagination import PageRequest

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def store(database: Database) -> DatasetStore:
    return DatasetStore(database)


@pytest.fixture
def cats(store: DatasetStore) -> Dataset:
    made = store.create(Dataset(0, "cats", "ann", None, (), None, NOW, NOW, None))
    store.add_version(made.serial, NewVersion("a" * 64, "ann", "upload", 1, 1), None, NOW)
    store.add_version(
        made.serial,
        NewVersion("b" * 64, "ann", "edit", 1, 1),
        1,
        NOW,
        lambda connection: begin_run(connection, made.serial, 2, NOW),
    )
    return store.get("cats")


def test_only_a_version_created_by_an_edit_can_be_joined(store: DatasetStore, cats: Dataset):
    assert store.runs.find(cats.serial, 1, "ann", NOW) is None
    assert store.runs.find(cats.serial, 2, "bob", NOW) is None
    assert store.runs.find(cats.serial, 2, "ann", NOW) == VersionRun(NOW.timestamp(), 2)
    assert store.runs.find(cats.serial, 2, "ann", NOW + timedelta(minutes=11)) is None
    assert store.runs.find(cats.serial, 2, "ann", NOW - timedelta(seconds=1)) is None


def test_kept_version_is_not_superseded(database: Database, store: DatasetStore, cats: Dataset):
    run = store.runs.find(cats.serial, 2, "ann", NOW)
    assert run is not None
    store.runs.keep(cats.serial, 2)
    with pytest.raises(DatasetChanged), database.write(is_audited=False) as connection:
        join_run(connection, cats.serial, run, "ann", NOW)


def test_superseded_version_is_listed_again_once_it_is_kept(database: Database, store: DatasetStore, cats: Dataset):
    run = VersionRun(NOW.timestamp(), 2)
    store.add_version(
        cats.serial,
        NewVersion("c" * 64, "ann", "edit", 1, 1),
        2,
        NOW,
        in_turn(lambda connection: join_run(connection, cats.serial, run, "ann", NOW)),
    )
    ordinals = [version.ordinal for version in store.versions(cats.serial, PageRequest(10)).rows]
    assert (ordinals, store.versions(cats.serial, PageRequest(10)).pagination.total) == ([3, 1], 2)
    with database.write(is_audited=False) as connection:
        keep_version(connection, cats.serial, 2)
    assert store.versions(cats.serial, PageRequest(10)).pagination.total == 3
