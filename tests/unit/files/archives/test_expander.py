import gzip
import tarfile
from pathlib import Path

import pytest

from api.errors import InsufficientStorage
from api.files.archives.expander import Expander
from api.files.archives.limits import MB, ArchiveLimits, BadArchive
from tests.unit.files.archives.hostile import Piece, make_zip


def expand(folder: Path, data: bytes, limits: ArchiveLimits | None = None) -> dict[str, bytes]:
    (folder / "archive").write_bytes(data)
    files = Expander(limits or ArchiveLimits(min_free=0)).expand(folder / "archive", folder / "target")
    return {each.name: (folder / "target" / each.file).read_bytes() for each in files}


def test_separate_process_writes_the_files(tmp_path: Path):
    assert expand(tmp_path, make_zip([Piece("a/b.txt", "file", b"words", "")], 0)) == {"a/b.txt": b"words"}


def test_rejection_names_the_entry(tmp_path: Path):
    with pytest.raises(BadArchive) as rejected:
        expand(tmp_path, make_zip([Piece("../b.txt", "file", b"words", "")], 0))
    assert rejected.value.entry == "../b.txt"


def test_kernel_limits_the_memory_for_a_header(tmp_path: Path):
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 300 * MB
    packed = gzip.compress(info.tobuf() + bytes(300 * MB), 1)
    with pytest.raises(BadArchive, match="memory"):
        expand(tmp_path, packed, ArchiveLimits(memory=160 * MB, min_free=0))


def test_full_disk_is_reported(tmp_path: Path):
    with pytest.raises(InsufficientStorage):
        expand(tmp_path, make_zip([Piece("a", "file", b"x", "")], 0), ArchiveLimits(min_free=2**60))


def test_error_in_the_progress_callback_ends_the_process(tmp_path: Path):
    class Cancelled(Exception):
        pass

    def cancel(entries: int, written: int) -> None:
        raise Cancelled

    (tmp_path / "archive").write_bytes(make_zip([Piece("a", "file", bytes(1000), "")], 0))
    with pytest.raises(Cancelled):
        Expander(ArchiveLimits(min_free=0)).expand(tmp_path / "archive", tmp_path / "target", cancel)
