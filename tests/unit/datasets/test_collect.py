"""Garbage collection removes unneeded data and nothing else, even if the process is killed at any point.

COLLECT_KILL_POINTS=all kills at every point; by default the suite uses some of them.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.datasets.conftest import Shelf
from tests.unit.datasets.kill_points import collector, open_shelf, stored

EVERY = 1 if os.environ.get("COLLECT_KILL_POINTS") == "all" else 17


def test_files_of_versions_stay_and_others_are_removed(shelf: Shelf):
    shelf.make()
    shelf.version(shelf.item("a.png", b"1"))
    shelf.version(shelf.item("a.png", b"2"))
    shelf.blob(b"orphan")
    again = collector(shelf)
    for _ in range(3):
        again.collect(0)
    assert stored(shelf) == {b"1", b"2"}


def test_shared_files_stay(shelf: Shelf):
    for name in ("cats", "dogs"):
        shelf.make(name)
        shelf.version(shelf.item("a.png", b"shared"), shelf.item("b.png", name.encode()), name=name)
    shelf.service.delete("cats")
    again = collector(shelf)
    for _ in range(3):
        again.collect(0)
    assert stored(shelf) == {b"shared", b"dogs"}


def test_store_of_another_database_is_not_touched(shelf: Shelf):
    orphan = shelf.blob(b"orphan")
    shelf.holds.belongs_with("another store")
    again = collector(shelf)
    for _ in range(3):
        again.collect(0)
    assert shelf.blobs.has(orphan)


def test_nothing_is_removed_while_the_disk_fails(shelf: Shelf, monkeypatch: pytest.MonkeyPatch):
    orphan = shelf.blob(b"orphan")
    with monkeypatch.context() as patched:
        patched.setattr("os.listdir", lambda path: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        collector(shelf).run_once()
    assert shelf.blobs.has(orphan)


def test_unused_and_unneeded_views_are_removed(shelf: Shelf):
    shelf.make()
    manifest = shelf.version(shelf.item("a.png")).manifest_sha256
    views = collector(shelf)._views
    for name in (f"{manifest}.old", ".half.old", manifest, ".half.new", "0" * 64):
        (views / name).mkdir(parents=True)
        if name.endswith(".old"):
            os.utime(views / name, (0, 0))
    collector(shelf).collect(0)
    assert sorted(os.listdir(views)) == [".half.new", manifest]


# -- kills -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def template(migrated_file: Path, tmp_path: Path) -> Path:
    """A dataset with a version, a deleted dataset, and an unneeded file."""
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


@pytest.mark.slow
def test_kill_at_any_point_loses_no_version_and_leaves_nothing_behind(template: Path, tmp_path: Path):
    program = [sys.executable, "-m", "tests.unit.datasets.kill_points"]
    done = subprocess.run(
        [*program, template, tmp_path, str(EVERY)],
        capture_output=True,
        text=True,
        timeout=100 * 17 / EVERY,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100, "there are more points than that"
