import os
from pathlib import Path

import pytest

from api.catalog.comfyui import ComfyLinks
from api.catalog.links import LinkedVersions
from api.files.blobs import BlobStore


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs")


@pytest.fixture
def loras(tmp_path: Path) -> Path:
    (tmp_path / "loras").mkdir()
    return tmp_path / "loras"


class FakeVersions(LinkedVersions):
    """Those of these hashes are all versions of each model."""

    def __init__(self, *hashes: str) -> None:
        self._hashes = hashes

    def has(self, model: str, sha256: str) -> bool:
        return sha256 in self._hashes


def add(blobs: BlobStore, content: bytes) -> str:
    with blobs.begin() as writer:
        writer.write(content)
        return writer.commit().sha256


def test_version_with_an_alias_is_linked_and_goes_with_it(blobs: BlobStore, loras: Path):
    one, other = add(blobs, b"one"), add(blobs, b"other")
    links = ComfyLinks(loras, blobs, FakeVersions())
    assert links.update("cats", {}, {"prod": one}) == []
    assert (loras / "cats-prod.safetensors").read_bytes() == b"one"
    assert os.stat(loras / "cats-prod.safetensors").st_ino == blobs.path(one).stat().st_ino
    assert links.update("cats", {"prod": one}, {"prod": other}) == []
    assert (loras / "cats-prod.safetensors").read_bytes() == b"other"
    assert links.update("cats", {"prod": other}, {}) == []
    assert list(loras.iterdir()) == []


def test_what_others_have_put_there_stays(blobs: BlobStore, loras: Path):
    one = add(blobs, b"one")
    (loras / "cats-prod.safetensors").write_bytes(b"mine")
    links = ComfyLinks(loras, blobs, FakeVersions())
    assert "cats-prod" in links.update("cats", {}, {"prod": one})[0]
    assert links.update("cats", {"prod": one}, {}) == []
    assert (loras / "cats-prod.safetensors").read_bytes() == b"mine"
    assert len(list(loras.iterdir())) == 1


def test_directory_that_is_gone_is_told(blobs: BlobStore, tmp_path: Path):
    assert ComfyLinks(tmp_path / "gone", blobs, FakeVersions()).update("cats", {}, {"prod": add(blobs, b"one")}) != []
    assert ComfyLinks(tmp_path / "gone", blobs, FakeVersions()).update("cats", {}, {"prod": "0" * 64}) != []


@pytest.mark.parametrize("is_symbolic", [False, True])
def test_what_a_killed_server_has_left_is_replaced(blobs: BlobStore, loras: Path, is_symbolic: bool):
    one, other, foreign = (add(blobs, content) for content in (b"one", b"other", b"foreign"))
    place = loras / "cats-prod.safetensors"
    links = ComfyLinks(loras, blobs, FakeVersions(one, other))
    if is_symbolic:
        place.symlink_to(blobs.path(one))
    else:
        blobs.link_into(one, place)
    # The alias was moved, and the server was killed before the link was.
    assert links.update("cats", {}, {"prod": other}) == []
    assert place.read_bytes() == b"other"
    # A version of another model, whose name and alias make the same file, stays.
    place.unlink()
    blobs.link_into(foreign, place)
    assert "cats-prod" in links.update("cats", {}, {"prod": one})[0]
    assert place.read_bytes() == b"foreign"
