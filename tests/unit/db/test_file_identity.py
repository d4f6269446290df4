"""A database whose file was replaced acknowledges no writes."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from api.db.database import Database, sqlite_url
from api.errors import StorageGone
from tests.unit.db.test_database import append, count_events


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "storage"
    root.mkdir()
    return root


@pytest.fixture
def stored(root: Path) -> Iterator[Database]:
    database = Database(sqlite_url(root / "database.sqlite"), root)
    database.migrate()
    yield database
    database.close()


def delete(root: Path) -> None:
    (root / "database.sqlite").unlink()


def replace(root: Path) -> None:
    shutil.copy(root / "database.sqlite", root / "copy")
    (root / "copy").rename(root / "database.sqlite")


def move_root(root: Path) -> None:
    root.rename(root.parent / "moved")


def replace_root(root: Path) -> None:
    move_root(root)
    shutil.copytree(root.parent / "moved", root)


def delete_log(root: Path) -> None:
    (root / "database.sqlite-wal").unlink()


def append_and_lose(connection: Connection, root: Path, lose: Callable[[Path], None]) -> None:
    append(connection)
    lose(root)


LOSSES = [delete, replace, move_root, replace_root, delete_log]


@pytest.mark.parametrize("lose", LOSSES)
def test_write_is_refused_after_its_file_was_replaced(stored: Database, root: Path, lose: Callable[[Path], None]):
    lose(root)
    problem = r"is missing .*: restore it, or restart|was replaced since the start"
    with pytest.raises(StorageGone, match=problem), stored.write() as connection:
        append(connection)
    assert count_events(stored) == 0


@pytest.mark.parametrize("lose", LOSSES)
def test_write_is_refused_if_its_file_disappears_during_it(stored: Database, root: Path, lose: Callable[[Path], None]):
    with pytest.raises(StorageGone), stored.write() as connection:
        append_and_lose(connection, root, lose)
    assert count_events(stored) == 0


def test_new_connection_creates_no_file_in_place_of_the_old_one(stored: Database, root: Path):
    stored.close()
    delete(root)
    with pytest.raises(StorageGone), stored.read():
        pass
    assert not (root / "database.sqlite").exists()


def test_restored_file_is_written_again(stored: Database, root: Path):
    move_root(root)
    assert isinstance(stored.find_trouble(), StorageGone)
    (root.parent / "moved").rename(root)
    with stored.write() as connection:
        append(connection)
    assert stored.find_trouble() is None
    assert count_events(stored) == 1
