"""A program that kills dataset operations at one point after the other, and checks what is left.

`python -m tests.unit.datasets.kill_points TEMPLATE DIRECTORY EVERY` prints the number of points. It has no threads, so
that it can fork, and loads everything once for all points.
"""

import fcntl
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import select

from api.datasets.collect import DatasetCollector
from api.datasets.materials import DatasetDirectories
from api.datasets.records.dataset_store import DatasetFilter, DatasetStore
from api.datasets.records.hold_store import DatasetHolds
from api.datasets.records.item_store import DatasetItemStore
from api.datasets.service import DatasetService, NoQuota
from api.db.database import Database, sqlite_url
from api.db.dataset_tables import dataset_versions
from api.domain.datasets.dataset import ItemFilter
from api.files.blob_writer import GZIP
from api.files.blobs import BlobStore
from api.files.thumbnail_files import ThumbnailStore
from api.util.clock import FakeClock
from api.util.http.pagination import PageRequest
from tests.databases import hurry
from tests.unit.datasets.conftest import Shelf

#: System calls before which the process is killed, besides those of the database.
DEADLY = ("rename", "unlink", "mkdir", "chmod", "fchmod", "utime", "fsync", "write", "listdir")


def open_shelf(root: Path) -> Shelf:
    database = Database(sqlite_url(root / "database.sqlite"))
    hurry(database)
    store, holds, rows = DatasetStore(database), DatasetHolds(database), DatasetItemStore(database)
    blobs, clock = BlobStore(root / "datasets"), FakeClock()
    service = DatasetService(store, holds, rows, blobs, clock, NoQuota())
    return Shelf(database, store, holds, rows, blobs, clock, service)


def collector(shelf: Shelf) -> DatasetCollector:
    views = DatasetDirectories(shelf.service, shelf.store, shelf.blobs).views
    pictures = ThumbnailStore(shelf.blobs.root / "thumbnails")
    return DatasetCollector(shelf.blobs, shelf.holds, shelf.rows, views, pictures, shelf.clock)


def stored(shelf: Shelf) -> set[bytes]:
    """Return the content of the store, without manifests."""
    files = (path for path in shelf.blobs.root.rglob("*") if path.is_file() and len(path.name) in (32, 64))
    return {path.read_bytes() for path in files if not path.read_bytes().startswith(GZIP)}


def work(root: Path) -> None:
    """Upload (also bytes that are about to be collected), make a version, delete a dataset, run the collector."""
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
    """Run the operations in a process that is killed before its n-th system call; return False if it finished."""
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
            for name in DEADLY:
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
    """Check that every version is complete before and after further passes, and that nothing is left over."""
    shelf = open_shelf(root)
    shelf.clock.advance(7200)
    passes = collector(shelf)
    for _ in range(4):
        read_every_version(shelf)
        passes.collect(0)
    names = {dataset.name for dataset in shelf.store.page(DatasetFilter(), PageRequest(10)).rows}
    needed = {b"kept", b"shared"} | ({b"gone", b"new"} if shelf.store.get("cats").latest == 2 else set())
    if "birds" in names and shelf.store.get("birds").latest is not None:
        needed.add(b"bird")
    assert stored(shelf) == needed
    assert os.listdir(shelf.blobs.root / "incoming") == []
    shelf.database.close()


def read_every_version(shelf: Shelf) -> None:
    with shelf.database.read() as connection:
        versions = connection.execute(select(dataset_versions)).all()
    for row in versions:
        dataset = shelf.store.get_by_serial(row.dataset)
        if dataset is None or not dataset.name:
            continue
        items = list(shelf.service.read_items(row.manifest))
        assert all(shelf.blobs.path(item.sha256).stat().st_size == item.size_bytes for item in items)
        assert all(shelf.blobs.is_intact(item.sha256, item.size_bytes) for item in items)
        page = shelf.items.get_page(dataset.name, str(row.ordinal), ItemFilter(), PageRequest())
        assert [each.name for each in page.rows] == [item.path for item in items]


def main(template: Path, directory: Path, every: int) -> None:
    point, ended = 1, False
    while not ended:
        root = directory / str(point)
        shutil.copytree(template, root, copy_function=shutil.copy2)
        ended = not killed_at(root, point)
        hold_every_promise(root)
        shutil.rmtree(root)
        point += every
    sys.stdout.write(str(point - every))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
