import fcntl
import hashlib
import os
from pathlib import Path

import pytest

from api.domain.datasets.dataset import Blob
from api.files.blob_writer import BlobWriter


def test_complete_file_is_added_to_the_store(tmp_path: Path):
    put: list[tuple[Path, str, int, bytes]] = []

    def take(path: Path, sha256: str, size: int) -> None:
        put.append((path, sha256, size, path.read_bytes()))

    with BlobWriter(tmp_path / "new", take) as new:
        new.write(b"one ")
        new.write(b"two")
        blob = new.commit()
    assert blob == Blob(hashlib.sha256(b"one two").hexdigest(), 7)
    assert put == [(tmp_path / "new", blob.sha256, 7, b"one two")]


def test_uncommitted_file_leaves_nothing(tmp_path: Path):
    with BlobWriter(tmp_path / "new", lambda *_: None) as new:
        new.write(b"half")
    assert list(tmp_path.iterdir()) == []


def test_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    new = BlobWriter(tmp_path / "new", lambda *_: None)
    new.write(b"whole")
    monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        new.commit()
    assert list(tmp_path.iterdir()) == []


def test_unfinished_file_is_locked(tmp_path: Path):
    with BlobWriter(tmp_path / "new", lambda *_: None):
        handle = os.open(tmp_path / "new", os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(handle)
