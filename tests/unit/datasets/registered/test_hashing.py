import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from api.datasets.registered import hashing as directory_hashing
from api.datasets.registered.hashing import UNREAD, DirectoryHashing
from api.datasets.registered.known_files import RegisteredFile
from api.datasets.registered.listing import list_directory
from api.domain.datasets.dataset import EntryProblem
from api.files.archives.limits import BadArchive

Begin = Callable[..., DirectoryHashing]


@pytest.fixture
def begin(tmp_path: Path) -> Begin:
    """Return a function that starts to read these files."""

    def begin(**files: bytes) -> DirectoryHashing:
        for name, content in files.items():
            (tmp_path / name.replace("_", ".")).write_bytes(content)
        return DirectoryHashing(tmp_path, list_directory(str(tmp_path)), {})

    return begin


def test_turn_of_zero_seconds_makes_progress(begin: Begin):
    reading = begin(a_png=b"a" * (3 * 2**20), b_png=b"b", b_txt=b"text")
    assert (reading.total_bytes, reading.read_bytes) == (3 * 2**20 + 1, 0)
    turns = 1
    while not reading.read_for(0):
        turns += 1
    assert turns >= 4
    assert reading.read_bytes == reading.total_bytes
    found = reading.finish()
    assert [(item.path, item.caption) for item in found.items] == [("a.png", None), ("b.png", "text")]
    assert found.items[0].sha256 == hashlib.sha256(b"a" * (3 * 2**20)).hexdigest()
    assert {file.path: file.sha256 == UNREAD for file in found.files} == {"a.png": False, "b.png": False, "b.txt": True}


def test_small_files_are_read_before_a_huge_one(begin: Begin, tmp_path: Path):
    with (tmp_path / "0.mp4").open("wb") as file:
        file.truncate(2**40)
    reading = begin(z_png=b"z")
    assert not reading.read_for(0.01)
    reading.close()
    assert "z.png" in reading._hashed


def test_known_file_is_not_read_again(begin: Begin, tmp_path: Path):
    first = begin(a_png=b"a")
    first.read_for(1)
    known = {file.path: file for file in first.finish().files}
    again = DirectoryHashing(tmp_path, list_directory(str(tmp_path)), known)
    assert (again.total_bytes, again.read_for(0), len(again.finish().items)) == (0, True, 1)


def test_unreadable_file_is_tried_again(begin: Begin, tmp_path: Path):
    begin(a_png=b"a")
    status = os.stat(tmp_path / "a.png")
    known = RegisteredFile("a.png", 1, status.st_mtime_ns, status.st_ino, UNREAD)
    again = DirectoryHashing(tmp_path, list_directory(str(tmp_path)), {"a.png": known})
    assert again.total_bytes == 1


def test_file_that_keeps_changing_is_left_out(begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    reading, real = begin(a_png=b"a", b_png=b"b"), os.read

    def read(handle: int, count: int) -> bytes:
        if os.readlink(f"/proc/self/fd/{handle}").endswith("a.png"):
            with (tmp_path / "a.png").open("ab") as file:
                file.write(b"more")
        return real(handle, count)

    monkeypatch.setattr(directory_hashing.os, "read", read)
    assert reading.read_for(5)
    (finding,) = reading.finish().findings
    assert (finding.path, finding.problem, finding.text) == (
        "a.png",
        EntryProblem.UNREADABLE,
        "it cannot be read: it is being written to",
    )


def test_file_that_was_deleted_meanwhile_is_no_finding(begin: Begin, tmp_path: Path):
    reading = begin(a_png=b"a", b_png=b"b")
    (tmp_path / "a.png").unlink()
    assert reading.read_for(1)
    found = reading.finish()
    assert ([item.path for item in found.items], found.findings) == (["b.png"], ())


def test_disk_failure_is_no_finding(begin: Begin, monkeypatch: pytest.MonkeyPatch):
    reading = begin(a_png=b"a")

    def fail(handle: int, count: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(directory_hashing.os, "read", fail)
    with pytest.raises(OSError, match="Input/output"):
        reading.read_for(1)
    reading.close()


def test_reading_ends_with_its_server(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"a" * (2 * 2**20))
    reading = DirectoryHashing(tmp_path, list_directory(str(tmp_path)), {}, lambda: True)
    assert not reading.read_for(60)
    reading.close()


def test_directory_with_too_many_media_is_rejected_before_reading(begin: Begin, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(directory_hashing, "MAX_ITEMS", 1)
    with pytest.raises(BadArchive, match="more than 1 images"):
        begin(a_png=b"a", b_png=b"b")


def test_too_large_texts_are_rejected_before_reading(begin: Begin, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(directory_hashing, "_TEXT_BYTES", 3)
    with pytest.raises(BadArchive, match="captions of more than 3 bytes"):
        begin(a_png=b"a", a_txt=b"four")
