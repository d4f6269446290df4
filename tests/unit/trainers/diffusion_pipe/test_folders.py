from pathlib import Path

import pytest

from api.trainers.diffusion_pipe.folders import CaptionFile, FolderOnDisk, ListedFolder
from api.trainers.media import Budget, Look, Looks, Unreadable
from tests.unit.trainers.diffusion_pipe.builders import write_image


def test_disk_and_list_tell_the_same_of_the_same_files(tmp_path: Path):
    write_image(tmp_path / "a.png", (64, 32), caption="a thing")
    write_image(tmp_path / "b.png", (64, 32), caption=" \n")
    disk = FolderOnDisk(tmp_path, Looks())
    look = Look(64, 32)
    listed = ListedFolder({"a.png": look, "b.png": look}, {"a.txt": "a thing", "b.txt": " \n"})
    for folder in (disk, listed):
        assert set(folder.list(Budget(9)).names) == {"a.png", "a.txt", "b.png", "b.txt"}
        assert (folder.caption_file("a.txt"), folder.caption_file("b.txt")) == (CaptionFile.TEXT, CaptionFile.EMPTY)
        assert folder.look("a.png") == look


def test_neither_has_a_look_for_what_cannot_be_read(tmp_path: Path):
    (tmp_path / "a.png").write_text("no image")
    for folder in (FolderOnDisk(tmp_path, Looks()), ListedFolder({"a.png": None})):
        with pytest.raises(Unreadable):
            folder.look("a.png")


def test_caption_that_is_no_text_is_unreadable(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "b.txt").mkdir()
    folder = FolderOnDisk(tmp_path, Looks())
    assert {folder.caption_file(name) for name in ("a.txt", "b.txt", "c.txt")} == {CaptionFile.UNREADABLE}


def test_disk_is_listed_within_the_budget(tmp_path: Path):
    for name in "abc":
        (tmp_path / name).touch()
    listing = FolderOnDisk(tmp_path, Looks()).list(Budget(9, entries=2))
    assert (len(listing.names), listing.unknown) == (2, "only the first 2 entries of a directory were looked at")


def test_directory_that_is_gone_cannot_be_listed(tmp_path: Path):
    assert FolderOnDisk(tmp_path / "gone", Looks()).list(Budget(9)).unknown == "a directory could not be listed"
