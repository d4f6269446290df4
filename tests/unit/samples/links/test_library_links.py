import os
from pathlib import Path

import pytest

from api.files.blobs import BlobStore
from api.samples.links.library_links import ComfyLinks
from api.samples.links.store import LinkedVersions


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


@pytest.fixture
def loras(tmp_path: Path) -> Path:
    (tmp_path / "loras").mkdir()
    return tmp_path / "loras"


class FakeVersions(LinkedVersions):
    """A fake in which every model has versions with these hashes."""

    def __init__(self, *hashes: str) -> None:
        self._hashes = hashes

    def has(self, model: str, sha256: str) -> bool:
        return sha256 in self._hashes


def add(blobs: BlobStore, content: bytes) -> str:
    with blobs.begin() as writer:
        writer.write(content)
        return writer.commit().sha256


def test_link_follows_the_alias(blobs: BlobStore, loras: Path):
    one, other = add(blobs, b"one"), add(blobs, b"other")
    links = ComfyLinks(loras, blobs, FakeVersions())
    assert links.update("cats", {}, {"prod": one}) == []
    assert (loras / "cats-prod.safetensors").read_bytes() == b"one"
    assert os.stat(loras / "cats-prod.safetensors").st_ino == blobs.path(one).stat().st_ino
    assert links.update("cats", {"prod": one}, {"prod": other}) == []
    assert (loras / "cats-prod.safetensors").read_bytes() == b"other"
    assert links.update("cats", {"prod": other}, {}) == []
    assert list(loras.iterdir()) == []


def test_files_of_others_stay(blobs: BlobStore, loras: Path):
    one = add(blobs, b"one")
    (loras / "cats-prod.safetensors").write_bytes(b"mine")
    links = ComfyLinks(loras, blobs, FakeVersions())
    assert "cats-prod" in links.update("cats", {}, {"prod": one})[0]
    assert links.update("cats", {"prod": one}, {}) == []
    assert (loras / "cats-prod.safetensors").read_bytes() == b"mine"
    assert len(list(loras.iterdir())) == 1


def test_missing_directory_is_reported(blobs: BlobStore, tmp_path: Path):
    assert ComfyLinks(tmp_path / "gone", blobs, FakeVersions()).update("cats", {}, {"prod": add(blobs, b"one")}) != []
    assert ComfyLinks(tmp_path / "gone", blobs, FakeVersions()).update("cats", {}, {"prod": "0" * 64}) != []


@pytest.mark.parametrize("is_symbolic", [False, True])
def test_link_left_by_a_killed_server_is_replaced(blobs: BlobStore, loras: Path, is_symbolic: bool):
    one, other, foreign = (add(blobs, content) for content in (b"one", b"other", b"foreign"))
    place = loras / "cats-prod.safetensors"
    links = ComfyLinks(loras, blobs, FakeVersions(one, other))
    if is_symbolic:
        place.symlink_to(blobs.path(one))
    else:
        blobs.link_into(one, place)
    # The server was killed after the alias had moved and before the link did.
    assert links.update("cats", {}, {"prod": other}) == []
    assert place.read_bytes() == b"other"
    # A link of another model with the same file name stays.
    place.unlink()
    blobs.link_into(foreign, place)
    assert "cats-prod" in links.update("cats", {}, {"prod": one})[0]
    assert place.read_bytes() == b"foreign"
