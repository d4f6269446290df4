import logging
from pathlib import Path
from typing import cast

import pytest

from api.db.database import Database
from api.errors import DatabaseUnavailable, StorageFull, StorageGone
from api.files.disk import DiskReserve
from api.system.storage_watch import StorageWatch


class Storage:
    """A database with a problem that the test sets."""

    def __init__(self) -> None:
        self.trouble: DatabaseUnavailable | None = None

    def find_trouble(self) -> DatabaseUnavailable | None:
        return self.trouble


@pytest.fixture
def storage() -> Storage:
    return Storage()


@pytest.fixture
def watch(storage: Storage, tmp_path: Path) -> StorageWatch:
    return StorageWatch(cast(Database, storage), DiskReserve(tmp_path / "reserve", 4096))


def test_problem_is_known_without_another_check(storage: Storage, watch: StorageWatch):
    storage.trouble = StorageGone("It is gone.")
    assert watch.trouble is None
    watch.check()
    storage.trouble = None
    assert isinstance(watch.trouble, StorageGone)


def test_change_is_logged_once(storage: Storage, watch: StorageWatch, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    for trouble in (None, StorageFull("a"), StorageFull("b"), StorageGone("c"), None, None):
        storage.trouble = trouble
        watch.check()
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR", "INFO"]


def test_disk_space_is_reserved_while_the_storage_works(storage: Storage, watch: StorageWatch, tmp_path: Path):
    storage.trouble = StorageFull("It is full.")
    watch.check()
    assert not (tmp_path / "reserve").exists()
    storage.trouble = None
    watch.check()
    assert (tmp_path / "reserve").stat().st_size == 4096
