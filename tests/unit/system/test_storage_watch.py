import logging
from pathlib import Path
from typing import cast

import pytest

from api.db.database import Database
from api.errors import DatabaseUnavailable, StorageFull, StorageGone
from api.files.disk import DiskReserve
from api.system.storage_watch import StorageWatch


class Storage:
    """A database that has the trouble that a test gives it."""

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


def test_what_is_wrong_is_known_without_asking_again(storage: Storage, watch: StorageWatch):
    storage.trouble = StorageGone("It is gone.")
    assert watch.trouble is None
    watch.look()
    storage.trouble = None
    assert isinstance(watch.trouble, StorageGone)


def test_a_change_is_told_and_what_goes_on_is_not(
    storage: Storage, watch: StorageWatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    for trouble in (None, StorageFull("a"), StorageFull("b"), StorageGone("c"), None, None):
        storage.trouble = trouble
        watch.look()
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR", "INFO"]


def test_room_is_held_back_while_all_is_well(storage: Storage, watch: StorageWatch, tmp_path: Path):
    storage.trouble = StorageFull("It is full.")
    watch.look()
    assert not (tmp_path / "reserve").exists()
    storage.trouble = None
    watch.look()
    assert (tmp_path / "reserve").stat().st_size == 4096
