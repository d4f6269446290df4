import errno
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import pytest

from api.domain.datasets.upload import Upload, UploadStatus
from api.errors import ChecksumMismatch, InsufficientStorage, TooLarge, Unavailable
from api.files.upload_files import UploadFiles
from api.web.bodies.upload_writer import Checksum, UploadWriter

NOW = datetime(2026, 1, 1, tzinfo=UTC)
UPLOAD = Upload(1, "one", None, None, None, "cats", {}, 100, UploadStatus.RECEIVING, NOW, NOW, NOW)


@pytest.fixture
def files(tmp_path: Path) -> UploadFiles:
    made = UploadFiles(tmp_path / "uploads")
    made.create("one")
    return made


def incoming(files: UploadFiles, most: int = 100, min_free: int = 0, checksum: Checksum | None = None) -> UploadWriter:
    return UploadWriter(UPLOAD, files.open("one"), files, most, min_free, checksum)


def sha256(data: bytes) -> Checksum:
    return Checksum("sha256", hashlib.sha256(data).digest())


def test_parts_are_appended(files: UploadFiles):
    taken = incoming(files)
    taken.write(b"abc")
    taken.write(bytearray(b"def"))
    taken.finish()
    assert (taken.offset, files.path("one").read_bytes()) == (6, b"abcdef")


def test_bytes_beyond_the_size_discard_the_whole_part(files: UploadFiles):
    taken = incoming(files, most=4)
    taken.write(b"abc")
    with pytest.raises(TooLarge):
        taken.write(b"de")
    assert taken.offset == 0


def test_correct_checksum_confirms_the_bytes(files: UploadFiles):
    taken = incoming(files, checksum=sha256(b"abcdef"))
    taken.write(b"abc")
    assert files.offset("one") == 0
    taken.write(b"def")
    taken.finish()
    assert files.offset("one") == 6


def test_wrong_checksum_discards_the_bytes(files: UploadFiles):
    taken = incoming(files, checksum=sha256(b"abc"))
    taken.write(b"abx")
    with pytest.raises(ChecksumMismatch):
        taken.finish()
    assert files.offset("one") == 0


def test_interrupted_part_is_kept_unless_it_has_a_checksum(files: UploadFiles):
    taken = incoming(files)
    taken.write(b"abc")
    taken.stop()
    taken.file.close()
    doubtful = incoming(files, checksum=sha256(b"def"))
    doubtful.write(b"d")
    doubtful.stop()
    assert (doubtful.offset, files.offset("one")) == (3, 3)


def test_missing_disk_space_is_reported_before_the_disk_is_full(files: UploadFiles):
    taken = incoming(files, min_free=2**60)
    with pytest.raises(InsufficientStorage):
        taken.write(b"abc")


def test_small_disk_margin_is_checked_more_often(files: UploadFiles):
    taken = incoming(files, most=10_000, min_free=4000)
    with patch.object(files, "free_bytes", side_effect=[9000, 5000, 3000]) as looked:
        for _ in range(4):
            taken.write(b"x" * 500)
        with pytest.raises(InsufficientStorage):
            taken.write(b"x")
    assert (looked.call_count, taken.offset) == (3, 2000)


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ENOSPC, InsufficientStorage), (errno.EDQUOT, InsufficientStorage), (errno.EIO, Unavailable)],
)
def test_disk_error_is_reported(files: UploadFiles, number: int, error: type[Exception]):
    taken = incoming(files)
    taken.write(b"abc")
    with patch.object(taken.file, "append", side_effect=OSError(number, "no")), pytest.raises(error):
        taken.write(b"def")
    taken.stop()
    assert files.offset("one") == 3
