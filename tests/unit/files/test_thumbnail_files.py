from pathlib import Path

import pytest

from api.files.thumbnail_files import ThumbnailStore

A, B = "a" * 64, "b" * 64


def test_thumbnails_are_stored_by_content_and_size(tmp_path: Path):
    store = ThumbnailStore(tmp_path / "thumbnails")
    assert store.get(A, 256) is None
    store.put(A, 256, b"picture")
    store.put(A, 128, b"")
    assert (store.get(A, 256), store.get(A, 128), store.get(B, 256)) == (b"picture", b"", None)


def test_thumbnails_of_unneeded_files_are_swept(tmp_path: Path):
    store = ThumbnailStore(tmp_path / "thumbnails")
    for sha256 in (A, B):
        store.put(sha256, 256, b"picture")
    assert store.sweep(lambda hashes: set(), 60) == 0
    assert store.sweep(lambda hashes: {sha256 for sha256 in hashes if sha256 == A}, 0) == 1
    assert (store.get(A, 256), store.get(B, 256)) == (b"picture", None)
    assert ThumbnailStore(tmp_path / "none").sweep(lambda hashes: set(), 0) == 0


def test_thumbnail_that_cannot_be_stored_leaves_nothing(tmp_path: Path):
    (tmp_path / "thumbnails").write_text("in the way")
    with pytest.raises(NotADirectoryError):
        ThumbnailStore(tmp_path / "thumbnails").put(A, 256, b"picture")
    assert [path.name for path in tmp_path.iterdir()] == ["thumbnails"]
