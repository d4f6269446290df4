import errno
import os
from pathlib import Path

import pytest

from api.util.files.foreign_trees import MAX_DEPTH, list_names, remove_tree, walk
from tests.faults import Faults
from tests.unit.util.foreign import Plant, each_plant


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree" / "a" / "b").mkdir(parents=True)
    for name in ("one", "a/two", "a/b/three"):
        (tmp_path / "tree" / name).write_text(name)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("secret")
    (tmp_path / "tree" / "link").symlink_to(tmp_path / "outside")
    return tmp_path / "tree"


def test_names_are_those_of_directories_and_regular_files(tree: Path):
    os.mkfifo(tree / "pipe")
    assert list_names(str(tree)) == (["a"], ["one"])
    assert list_names(str(tree / "nothing")) == ([], [])
    assert list_names(str(tree / "one")) == ([], [])


def test_number_of_read_entries_is_limited(tree: Path):
    for number in range(50):
        (tree / f"file{number}").touch()
    assert sum(map(len, list_names(str(tree), most=7))) <= 7
    assert len(list(walk(str(tree), most=7))) <= 7


def test_walk_finds_every_file_and_follows_no_link(tree: Path):
    assert {path: status.st_size for path, status in walk(str(tree))} == {"one": 3, "a/two": 5, "a/b/three": 9}
    assert list(walk(str(tree / "link"))) == []
    assert list(walk(str(tree / "nothing"))) == []


def test_depth_of_a_walk_is_limited(tmp_path: Path):
    deep = tmp_path
    for _ in range(MAX_DEPTH + 5):
        deep /= "d"
    deep.mkdir(parents=True)
    for directory in (deep.parents[3], deep.parents[4]):
        (directory / "file").touch()
    assert [path.count("/") for path, _ in walk(str(tmp_path))] == [MAX_DEPTH]


def test_disk_errors_are_not_ignored(tree: Path, faults: Faults):
    faults.strike("scandir", str(tree))
    with pytest.raises(OSError, match="Input/output"):
        list_names(str(tree))


def test_walk_leaves_out_inaccessible_entries_but_reports_disk_errors(tree: Path, faults: Faults):
    closed = faults.strike("scandir", "/tree/a", errno.EACCES)
    assert [path for path, _ in walk(str(tree))] == ["one"]
    closed.end()
    faults.strike("scandir", "/tree/a", errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        list(walk(str(tree)))


def test_removing_a_tree_keeps_the_targets_of_its_links(tree: Path):
    remove_tree(str(tree), levels=0)
    assert not tree.exists()
    assert (tree.parent / "outside" / "secret").read_text() == "secret"


@each_plant
def test_any_kind_of_entry_is_removed_by_its_name(tmp_path: Path, plant: Plant):
    plant(tmp_path / "tree")
    stored = {path: path.read_bytes() for path in tmp_path.glob("outside-of-*")}
    remove_tree(str(tmp_path / "tree"), levels=0)
    assert not (tmp_path / "tree").is_symlink()
    assert {path: path.read_bytes() for path in stored} == stored


def test_removing_a_missing_tree_does_nothing(tmp_path: Path):
    remove_tree(str(tmp_path / "nothing" / "below"), levels=0)
