"""What nobody needs goes, what somebody needs stays: also when the process is killed at any point.

COLLECT_KILL_POINTS=all kills at every point; the suite takes some of them.
"""

import fcntl
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from api.models.dataset import ItemFilter
from api.services.datasets.collect import DatasetCollector
from api.services.datasets.materials import DatasetMaterials
from api.services.datasets.service import DatasetService, NoBound
from api.storage.blobs import BlobStore
from api.storage.database import Database, sqlite_url
from api.storage.dataset_holds import DatasetHolds
from api.storage.dataset_items import DatasetItemStore
from api.storage.dataset_tables import dataset_versions
from api.storage.datasets import DatasetFilter, DatasetStore
from api.utils.clock import FakeClock
from api.utils.pagination import PageRequest
from tests.databases import hurry
from tests.unit.services.datasets.conftest import Shelf

EVERY = 1 if os.environ.get("COLLECT_KILL_POINTS") == "all" else 17


def open_shelf(root: Path) -> Shelf:
    database = Database(sqlite_url(root / "database.sqlite"))
    hurry(database)
    store, holds, rows = DatasetStore(database), DatasetHolds(database), DatasetItemStore(database)
    blobs, clock = BlobStore(root / "datasets"), FakeClock()
    service = DatasetService(store, holds, rows, blobs, clock, NoBound())
    return Shelf(database, store, holds, rows, blobs, clock, service)


def collector(shelf: Shelf) -> DatasetCollector:
    views = DatasetMaterials(shelf.service, shelf.store, shelf.blobs).views
    return DatasetCollector(shelf.blobs, shelf.holds, shelf.rows, views, shelf.clock)


def stored(shelf: Shelf) -> set[bytes]:
    files = (path for path in shelf.blobs.root.rglob("*") if path.is_file() and len(path.name) in (32, 64))
    return {path.read_bytes() for path in files if not path.read_bytes().startswith(b'{"path"')}


def test_what_versions_need_stays_and_the_rest_goes(shelf: Shelf):
    shelf.make()
    shelf.version(shelf.item("a.png", b"1"))
    shelf.version(shelf.item("a.png", b"2"))
    shelf.blob(b"orphan")
    again = collector(shelf)
    for _ in range(3):
        again.collect(0)
    assert stored(shelf) == {b"1", b"2"}


def test_bytes_that_another_dataset_shares_stay(shelf: Shelf):
    for name in ("cats", "dogs"):
        shelf.make(name)
        shelf.version(shelf.item("a.png", b"shared"), shelf.item("b.png", name.encode()), name=name)
    shelf.service.delete("cats")
    again = collector(shelf)
    for _ in range(3):
        again.collect(0)
    assert stored(shelf) == {b"shared", b"dogs"}


def test_a_store_of_another_database_is_left_alone(shelf: Shelf):
    orphan = shelf.blob(b"orphan")
    shelf.holds.belongs_with("another store")
    again = collector(shelf)
    for _ in range(3):
        again.collect(0)
    assert shelf.blobs.has(orphan)


def test_while_the_disk_does_not_answer_nothing_is_removed(shelf: Shelf, monkeypatch: pytest.MonkeyPatch):
    orphan = shelf.blob(b"orphan")
    with monkeypatch.context() as patched:
        patched.setattr("os.listdir", lambda path: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        collector(shelf).run_once()
    assert shelf.blobs.has(orphan)


def test_views_that_nobody_looks_into_go(shelf: Shelf):
    views = collector(shelf)._views
    for name in ("old", ".half.new"):
        (views / name).mkdir(parents=True)
        os.utime(views / name, (0, 0))
    (views / "new").mkdir()
    collector(shelf).collect(0)
    assert os.listdir(views) == ["new"]


# -- killed ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def template(migrated_file: Path, tmp_path: Path) -> Path:
    """A dataset with a version, one that was deleted, and a file that nothing needs."""
    root = tmp_path / "template"
    root.mkdir()
    shutil.copy(migrated_file, root / "database.sqlite")
    shelf = open_shelf(root)
    shelf.make("cats")
    shelf.version(shelf.item("a.png", b"kept"), shelf.item("b.png", b"shared"))
    shelf.make("dogs")
    shelf.version(shelf.item("a.png", b"shared"), shelf.item("b.png", b"gone"), name="dogs")
    shelf.service.delete("dogs")
    shelf.blob(b"orphan")
    collector(shelf).collect(0)
    shelf.database.close()
    return root


def work(root: Path) -> None:
    """Uploads, also of bytes that are about to be collected, a new version, a deletion, and passes of the collector."""
    shelf = open_shelf(root)
    passes = collector(shelf)
    passes.collect(0)
    shelf.version(shelf.item("a.png", b"kept"), shelf.item("c.png", b"gone"), shelf.item("d.png", b"new"))
    passes.collect(0)
    shelf.make("birds")
    shelf.version(shelf.item("a.png", b"bird"), name="birds")
    shelf.service.delete("birds")
    for _ in range(2):
        passes.collect(0)


def killed_at(root: Path, point: int) -> bool:
    """Has a process do the work, and kills it before its n-th call of the system; False when it came to its end."""
    child = os.fork()
    if child == 0:
        calls = 0

        def deadly(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **options: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == point:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **options)

            return call

        try:
            for name in ("rename", "unlink", "link", "mkdir", "chmod", "fchmod", "utime", "fsync", "write", "listdir"):
                setattr(os, name, deadly(getattr(os, name)))
            fcntl.flock = deadly(fcntl.flock)
            Database.write = deadly(Database.write)  # type: ignore[method-assign]
            work(root)
        except BaseException:
            os._exit(3)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), "the work itself failed"
    return status != 0


def hold_every_promise(root: Path) -> None:
    """Every version that there is can be read whole, before and after further passes, and nothing is left over."""
    shelf = open_shelf(root)
    shelf.clock.advance(7200)
    passes = collector(shelf)
    for number in range(4):
        with shelf.database.read() as connection:
            versions = connection.execute(select(dataset_versions)).all()
        for row in versions:
            dataset = shelf.store.get_by_serial(row.dataset)
            if dataset is None or not dataset.name:
                continue
            items = list(shelf.service.read_items(row.manifest))
            assert all(shelf.blobs.is_intact(item.sha256, item.size_bytes) or number == 0 for item in items)
            assert all(shelf.blobs.path(item.sha256).stat().st_size == item.size_bytes for item in items)
            page = shelf.items.get_page(dataset.name, str(row.ordinal), ItemFilter(), PageRequest())
            assert [each.name for each in page.rows] == [item.path for item in items]
        passes.collect(0)
    needed = {b"kept", b"shared"} | ({b"gone", b"new"} if shelf.store.get("cats").latest == 2 else set())
    bird = shelf.store.page(DatasetFilter(), 10, None, None)[0]
    assert stored(shelf) - ({b"bird"} if any(each.name == "birds" for each in bird) else set()) == needed
    assert os.listdir(shelf.blobs.root / "incoming") == []
    shelf.database.close()


def test_a_kill_at_any_point_costs_no_version_and_leaves_nothing(template: Path, tmp_path: Path):
    point, ended = 1, False
    while not ended:
        root = tmp_path / str(point)
        shutil.copytree(template, root, copy_function=shutil.copy2)
        ended = not killed_at(root, point)
        hold_every_promise(root)
        shutil.rmtree(root)
        point += EVERY
    assert point > 100, "there are more points than that"
