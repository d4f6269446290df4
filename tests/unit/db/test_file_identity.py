"""A file that is not the one of the start acknowledges nothing."""

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
def kept(root: Path) -> Iterator[Database]:
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
def test_write_is_refused_once_its_file_is_another(kept: Database, root: Path, lose: Callable[[Path], None]):
    lose(root)
    told = r"gone .*: put the same one back, or restart|another one than at the start"
    with pytest.raises(StorageGone, match=told), kept.write() as connection:
        append(connection)
    assert count_events(kept) == 0


@pytest.mark.parametrize("lose", LOSSES)
def test_write_is_refused_whose_file_goes_while_it_is_made(kept: Database, root: Path, lose: Callable[[Path], None]):
    with pytest.raises(StorageGone), kept.write() as connection:
        append_and_lose(connection, root, lose)
    assert count_events(kept) == 0


def test_new_connection_makes_no_file_where_the_old_one_was(kept: Database, root: Path):
    kept.close()
    delete(root)
    with pytest.raises(StorageGone), kept.read():
        pass
    assert not (root / "database.sqlite").exists()


def test_same_file_that_comes_back_is_written_again(kept: Database, root: Path):
    move_root(root)
    assert isinstance(kept.find_trouble(), StorageGone)
    (root.parent / "moved").rename(root)
    with kept.write() as connection:
        append(connection)
    assert kept.find_trouble() is None
    assert count_events(kept) == 1
