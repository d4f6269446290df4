from pathlib import Path

import pytest

from api.domain.reason import text_of
from api.trainers.diffusion_pipe.dataset.folders import CaptionFile, FolderOnDisk, ListedFolder
from api.trainers.media import Budget, MediaInfo, MediaInfoCache, Unreadable
from tests.unit.trainers.diffusion_pipe.builders import write_image


def test_folder_on_disk_and_listed_folder_agree(tmp_path: Path):
    write_image(tmp_path / "a.png", (64, 32), caption="a thing")
    write_image(tmp_path / "b.png", (64, 32), caption=" \n")
    disk = FolderOnDisk(tmp_path, MediaInfoCache())
    info = MediaInfo(64, 32)
    listed = ListedFolder({"a.png": info, "b.png": info}, {"a.txt": "a thing", "b.txt": " \n"})
    for folder in (disk, listed):
        assert set(folder.list(Budget(9)).names) == {"a.png", "a.txt", "b.png", "b.txt"}
        assert (folder.caption_file("a.txt"), folder.caption_file("b.txt")) == (CaptionFile.TEXT, CaptionFile.EMPTY)
        assert folder.read_info("a.png") == info


def test_unreadable_file_has_no_media_info_in_either_folder(tmp_path: Path):
    (tmp_path / "a.png").write_text("no image")
    for folder in (FolderOnDisk(tmp_path, MediaInfoCache()), ListedFolder({"a.png": None})):
        with pytest.raises(Unreadable):
            folder.read_info("a.png")


def test_caption_that_is_not_text_is_unreadable(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "b.txt").mkdir()
    folder = FolderOnDisk(tmp_path, MediaInfoCache())
    assert {folder.caption_file(name) for name in ("a.txt", "b.txt", "c.txt")} == {CaptionFile.UNREADABLE}


def test_directory_is_listed_within_the_budget(tmp_path: Path):
    for name in "abc":
        (tmp_path / name).touch()
    listing = FolderOnDisk(tmp_path, MediaInfoCache()).list(Budget(9, entries=2))
    assert len(listing.names) == 2
    assert text_of(listing.unknown) == "only the first 2 entries of a directory were examined"


def test_deleted_directory_cannot_be_listed(tmp_path: Path):
    unknown = FolderOnDisk(tmp_path / "gone", MediaInfoCache()).list(Budget(9)).unknown
    assert text_of(unknown) == "a directory could not be listed"
