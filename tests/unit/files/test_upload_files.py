import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from api.errors import UploadConflict, UploadNotFound
from api.files.upload_files import UploadFiles


@pytest.fixture
def files(tmp_path: Path) -> UploadFiles:
    made = UploadFiles(tmp_path / "uploads")
    made.create("one")
    return made


def test_upload_offset_is_the_length_of_its_file(files: UploadFiles):
    with files.open("one") as file:
        file.append(b"abc")
        file.append(memoryview(b"defg"))
        assert file.offset == 7
    assert files.offset("one") == 7
    assert files.path("one").read_bytes() == b"abcdefg"


def test_missing_upload_is_not_found(files: UploadFiles):
    with pytest.raises(UploadNotFound):
        files.offset("other")
    with pytest.raises(UploadNotFound):
        files.open("other")


def test_id_is_used_once(files: UploadFiles):
    with pytest.raises(FileExistsError):
        files.create("one")


def test_writers_exclude_each_other_until_release(files: UploadFiles):
    with files.open("one"), pytest.raises(UploadConflict) as refused:
        files.open("one")
    assert refused.value.headers == {"Retry-After": "1"}
    files.open("one").close()


def test_upload_being_written_is_not_deleted(files: UploadFiles):
    with files.open("one"), pytest.raises(UploadConflict):
        files.remove("one")
    files.remove("one")
    assert list(files.ids()) == []
    files.remove("one")


def test_doubtful_bytes_count_once_confirmed(files: UploadFiles):
    with files.open("one") as file:
        file.append(b"right")
        file.doubt()
        file.append(b"doubtful")
        assert files.offset("one") == 5
        file.sync()
        file.confirm()
    assert files.offset("one") == 13


def test_invalid_bytes_are_cut_off(files: UploadFiles):
    with files.open("one") as file:
        file.append(b"right")
        file.doubt()
        file.append(b"wrong")
        file.cut(5)
    assert files.path("one").read_bytes() == b"right"
    assert [path.name for path in files.path("one").parent.iterdir()] == ["one"]


WRITER = """
import os, signal, sys
from pathlib import Path
from api.files.upload_files import UploadFiles
file = UploadFiles(Path(sys.argv[1])).open("one")
file.append(b"right")
file.doubt()
file.append(b"doubtful")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_writer_leaves_neither_its_lock_nor_doubtful_bytes(files: UploadFiles):
    ended = subprocess.run([sys.executable, "-c", WRITER, files.path("one").parent], cwd=os.getcwd(), check=False)
    assert ended.returncode == -signal.SIGKILL
    assert files.offset("one") == 5
    with files.open("one") as file:
        assert file.offset == 5
        file.append(b"!")
    assert files.path("one").read_bytes() == b"right!"


def test_unpacked_files_are_deleted_with_their_upload(files: UploadFiles):
    place = files.new_unpacked("one")
    (place / "sub").mkdir(parents=True)
    assert set(files.ids()) == {"one"}
    files.remove("one")
    assert not place.exists()


def test_link_in_place_of_an_upload_is_not_followed(files: UploadFiles, tmp_path: Path):
    (tmp_path / "other").write_bytes(b"others'")
    files.path("two").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic links"):
        files.open("two")
