import hashlib
import os
import stat
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from api.errors import BlobMissing
from api.files.blobs import BlobStore


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "store")


def put(store: BlobStore, content: bytes) -> str:
    with store.begin() as writer:
        writer.write(content)
        return writer.commit().sha256


def read(store: BlobStore, sha256: str) -> bytes:
    return b"".join(store.lines(sha256))


def nobody_needs(batch: Sequence[str]) -> set[str]:
    return set()


def everybody_needs(batch: Sequence[str]) -> set[str]:
    return set(batch)


def names(store: BlobStore) -> list[str]:
    return sorted(path.name for path in store.root.rglob("*") if path.is_file() and len(path.name) in (32, 64))


def test_file_is_found_by_its_content(store: BlobStore):
    with store.begin() as writer:
        writer.write(b"one ")
        writer.write(b"two")
        blob = writer.commit()
    assert blob.sha256 == hashlib.sha256(b"one two").hexdigest()
    assert blob.size_bytes == 7
    assert read(store, blob.sha256) == b"one two"


def test_same_content_is_stored_once(store: BlobStore):
    first = put(store, b"same")
    inode = store.path(first).stat().st_ino
    assert put(store, b"same") == first
    assert store.path(first).stat().st_ino == inode
    assert names(store) == [first]


def test_compressed_file_is_named_by_its_lines_and_read_uncompressed(store: BlobStore):
    lines = [b'{"path":"%d.png","caption":"a cat on a sofa"}\n' % number for number in range(500)]
    content = b"".join(lines)
    with store.begin(compresses=True) as writer:
        for line in lines:
            writer.write(line)
        blob = writer.commit()
    stored = store.path(blob.sha256).stat().st_size
    assert blob.sha256 == hashlib.sha256(content).hexdigest()
    assert (blob.size_bytes, stored < len(content) / 5) == (stored, True)
    assert list(store.lines(blob.sha256)) == lines


def test_uncompressed_file_is_replaced_by_a_compressed_one(store: BlobStore):
    sha256 = put(store, b"{}\n" * 1000)
    with store.begin(compresses=True) as writer:
        writer.write(b"{}\n" * 1000)
        assert writer.commit().sha256 == sha256
    assert store.path(sha256).stat().st_size < 100
    assert read(store, sha256) == b"{}\n" * 1000


def test_damaged_compressed_file_is_a_disk_error(store: BlobStore):
    with store.begin(compresses=True) as writer:
        writer.write(os.urandom(5000))
        blob = writer.commit()
    path = store.path(blob.sha256)
    path.chmod(0o600)
    os.truncate(path, 2000)
    with pytest.raises(OSError, match="damaged"):
        read(store, blob.sha256)


def test_stored_file_is_read_only(store: BlobStore):
    path = store.path(put(store, b"fixed"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_modified_file_is_detected_and_repaired_by_the_same_upload(store: BlobStore):
    sha256 = put(store, b"content")
    path = store.path(sha256)
    path.chmod(0o644)
    path.write_bytes(b"CONTENT")
    assert not store.is_intact(sha256, 7)
    put(store, b"content")
    assert store.is_intact(sha256, 7)
    assert read(store, sha256) == b"content"


def test_file_with_only_a_changed_time_is_intact(store: BlobStore):
    sha256 = put(store, b"content")
    os.utime(store.path(sha256))
    assert store.is_intact(sha256, 7)


def test_missing_file_is_named(store: BlobStore):
    with pytest.raises(BlobMissing, match="a" * 64):
        store.path("a" * 64)


def test_complete_file_is_moved_into_the_store(store: BlobStore, tmp_path: Path):
    file = tmp_path / "upload"
    file.write_bytes(b"uploaded")
    blob = store.adopt(file)
    assert not file.exists()
    assert read(store, blob.sha256) == b"uploaded"


def test_file_with_an_unexpected_hash_is_not_moved(store: BlobStore, tmp_path: Path):
    file = tmp_path / "upload"
    file.write_bytes(b"uploaded")
    with pytest.raises(ValueError, match="its content has the SHA-256"):
        store.adopt(file, "0" * 64)
    assert file.read_bytes() == b"uploaded"
    assert names(store) == []


def test_link_is_not_adopted(store: BlobStore, tmp_path: Path):
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic links"):
        store.adopt(tmp_path / "link")


def test_another_name_is_a_hard_link(store: BlobStore, tmp_path: Path):
    sha256 = put(store, b"shared")
    store.link_into(sha256, tmp_path / "name.png")
    assert (tmp_path / "name.png").stat().st_ino == store.path(sha256).stat().st_ino


@pytest.mark.parametrize(("may_symlink", "is_link"), [(True, True), (False, False)])
def test_without_hard_links_another_name_is_a_symbolic_link_or_a_copy(
    store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, may_symlink: bool, is_link: bool
):
    sha256 = put(store, b"shared")
    monkeypatch.setattr(
        "os.link", lambda *names, **how: (_ for _ in ()).throw(OSError(18, "Invalid cross-device link"))
    )
    store.link_into(sha256, tmp_path / "name.png", may_symlink=may_symlink)
    assert (tmp_path / "name.png").is_symlink() is is_link
    assert (tmp_path / "name.png").read_bytes() == b"shared"


def test_needed_files_survive_every_sweep(store: BlobStore):
    sha256 = put(store, b"needed")
    for _ in range(3):
        store.sweep(everybody_needs, 0)
    assert read(store, sha256) == b"needed"


def test_unneeded_files_are_set_aside_and_then_deleted(store: BlobStore):
    sha256 = put(store, b"rubbish")
    assert store.sweep(nobody_needs, 0).set_aside == 1
    assert store.has(sha256)
    done = store.sweep(nobody_needs, 0)
    assert (done.removed, done.removed_bytes) == (1, 7)
    assert not store.has(sha256)


def test_new_files_are_not_swept(store: BlobStore):
    put(store, b"new")
    assert store.sweep(nobody_needs, 60).set_aside == 0


def test_file_set_aside_waits_as_long_again(store: BlobStore):
    put(store, b"rubbish")
    store.sweep(nobody_needs, 0)
    assert store.sweep(nobody_needs, 60).removed == 0


@pytest.mark.parametrize("ask", ["keep", "upload", "path", "open"])
def test_file_set_aside_is_restored_when_requested(store: BlobStore, ask: str):
    sha256 = put(store, b"wanted")
    store.sweep(nobody_needs, 0)
    if ask == "keep":
        assert store.keep([sha256]) == []
    elif ask == "upload":
        put(store, b"wanted")
    elif ask == "path":
        store.path(sha256)
    else:
        os.close(store.open(sha256))
    assert store.sweep(nobody_needs, 60).removed == 0
    assert read(store, sha256) == b"wanted"


def test_file_needed_again_is_restored_by_the_next_sweep(store: BlobStore):
    sha256 = put(store, b"wanted")
    store.sweep(nobody_needs, 0)
    assert store.sweep(everybody_needs, 0).restored == 1
    assert store.path(sha256).read_bytes() == b"wanted"


def test_upload_of_the_same_bytes_during_a_sweep_keeps_them(store: BlobStore):
    """The upload happens between the query for needed files and the deletion."""
    sha256 = put(store, b"contested")

    def uploads_meanwhile(batch: Sequence[str]) -> set[str]:
        time.sleep(0.02)
        put(store, b"contested")
        return set()

    time.sleep(0.05)
    assert store.sweep(uploads_meanwhile, 0.04).set_aside == 0
    assert read(store, sha256) == b"contested"


def test_missing_files_are_reported_if_needed(store: BlobStore):
    sha256 = put(store, b"here")
    assert store.keep([sha256, "b" * 64]) == ["b" * 64]


def test_leftovers_of_killed_writers_are_deleted_and_those_of_living_ones_are_not(store: BlobStore):
    store.prepare()
    (store.root / "incoming" / ("0" * 32)).write_bytes(b"of a killed one")
    with store.begin() as writer:
        writer.write(b"of a living one")
        store.sweep(nobody_needs, 0)
        blob = writer.commit()
    assert names(store) == [blob.sha256]


def test_store_has_one_identity(store: BlobStore):
    first = store.identity()
    assert len(first) == 32
    assert BlobStore(store.root).identity() == first


def test_link_knows_its_file(store: BlobStore, tmp_path: Path):
    one, other = put(store, b"one"), put(store, b"other")
    store.link_into(one, tmp_path / "hard")
    (tmp_path / "symbolic").symlink_to(store.path(other))
    (tmp_path / "elsewhere").symlink_to("/nowhere/sha256/ab/cd")
    (tmp_path / "foreign").write_bytes(b"one")
    os.utime(tmp_path / "foreign", ns=(store.path(one).stat().st_mtime_ns,) * 2)
    found = [store.hash_of(tmp_path / name) for name in ("hard", "symbolic", "elsewhere", "foreign", "gone")]
    assert found == [one, other, None, None, None]
