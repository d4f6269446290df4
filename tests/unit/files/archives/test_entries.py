import errno
import io
import tarfile
import zipfile
from pathlib import Path
from unittest.mock import patch

import pytest

from api.files.archives.entries import HAS_ZSTD, form_of, read_entries
from api.files.archives.limits import BadArchive
from tests.unit.files.archives.hostile import Piece, make_tar, make_zip

GOOD = [Piece("a/", "directory", b"", ""), Piece("a/x.png", "file", b"pixels", ""), Piece("a/x.txt", "file", b"hi", "")]


def contents(path: Path) -> dict[str, bytes]:
    return {entry.name: b"".join(entry.content) for entry in read_entries(path) if not entry.is_directory}


def rejection(path: Path) -> BadArchive:
    with pytest.raises(BadArchive) as rejected:
        contents(path)
    return rejected.value


@pytest.mark.parametrize("form", ["zip", "tar", "gz", "bz2", "xz"])
def test_every_format_gives_the_same_files(tmp_path: Path, form: str):
    data = make_zip(GOOD, zipfile.ZIP_DEFLATED) if form == "zip" else make_tar(GOOD, form)
    (tmp_path / "archive").write_bytes(data)
    assert form_of(data[:512]) == form
    assert contents(tmp_path / "archive") == {"a/x.png": b"pixels", "a/x.txt": b"hi"}


@pytest.mark.parametrize(("kind", "word"), [("symlink", "link"), ("hardlink", "link"), ("device", "device")])
@pytest.mark.parametrize("form", ["zip", "tar"])
def test_links_and_devices_are_rejected_by_name(tmp_path: Path, form: str, kind: str, word: str):
    if (form, kind) == ("zip", "hardlink"):
        pytest.skip("a zip has none")
    bad = [*GOOD, Piece("a/bad", kind, b"", "/etc/passwd")]
    (tmp_path / "archive").write_bytes(make_zip(bad, 0) if form == "zip" else make_tar(bad, "tar"))
    rejected = rejection(tmp_path / "archive")
    assert rejected.entry == "a/bad"
    assert word in rejected.reason


def test_other_file_is_rejected(tmp_path: Path):
    (tmp_path / "archive").write_bytes(b"\x89PNG" * 100)
    assert "neither a zip nor a tar" in rejection(tmp_path / "archive").reason


def test_zip_with_a_password_is_rejected(tmp_path: Path):
    data = bytearray(make_zip(GOOD[1:2], zipfile.ZIP_STORED))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "archive").write_bytes(data)
    assert "password" in rejection(tmp_path / "archive").reason


def test_zip_with_an_unknown_method_is_rejected(tmp_path: Path):
    data = bytearray(make_zip(GOOD[1:2], zipfile.ZIP_STORED))
    data[8] = data[data.index(b"PK\x01\x02") + 10] = 97
    (tmp_path / "archive").write_bytes(data)
    assert "method 97" in rejection(tmp_path / "archive").reason


@pytest.mark.parametrize("form", ["zip", "tar", "gz", "xz"])
def test_incomplete_archive_is_damaged(tmp_path: Path, form: str):
    big = [*GOOD, Piece("b.bin", "file", bytes(range(256)) * 40, "")]
    whole = make_zip(big, zipfile.ZIP_STORED) if form == "zip" else make_tar(big, form)
    # After the last file a tar contains only zeros.
    last = whole.rindex(bytes(range(250, 256))) if form == "tar" else len(whole) - 9
    for cut in range(600, last, max(1, last // 25)):
        (tmp_path / "archive").write_bytes(whole[:cut])
        assert "incomplete" in rejection(tmp_path / "archive").reason


def test_broken_header_in_a_tar_is_not_its_end(tmp_path: Path):
    data = bytearray(make_tar(GOOD, "tar"))
    second = data.index(b"a/x.txt")
    data[second] = ord("b")
    (tmp_path / "archive").write_bytes(data)
    assert "damaged" in rejection(tmp_path / "archive").reason


def test_pipe_in_a_tar_is_rejected(tmp_path: Path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("a/pipe")
        info.type = tarfile.FIFOTYPE
        archive.addfile(info)
    (tmp_path / "archive").write_bytes(buffer.getvalue())
    assert "named pipe" in rejection(tmp_path / "archive").reason


def test_zstandard_is_read_if_python_can(tmp_path: Path):
    (tmp_path / "archive").write_bytes(b"\x28\xb5\x2f\xfd" + b"rest")
    assert ("damaged" if HAS_ZSTD else "Python 3.14") in rejection(tmp_path / "archive").reason


def test_entry_before_the_start_of_its_archive_is_damage(tmp_path: Path):
    data = bytearray(make_zip(GOOD[1:2], zipfile.ZIP_STORED))
    # A directory with a wrong start puts the entry before the first byte.
    end = data.index(b"PK\x05\x06")
    data[end + 16 : end + 20] = (int.from_bytes(data[end + 16 : end + 20], "little") + 9).to_bytes(4, "little")
    (tmp_path / "archive").write_bytes(data)
    assert "damaged" in rejection(tmp_path / "archive").reason


def test_disk_failure_is_not_a_bad_archive(tmp_path: Path):
    (tmp_path / "archive").write_bytes(make_zip(GOOD, zipfile.ZIP_STORED))
    with (
        patch.object(zipfile.ZipExtFile, "read", side_effect=OSError(errno.EIO, "I/O error")),
        pytest.raises(OSError, match="I/O"),
    ):
        contents(tmp_path / "archive")
