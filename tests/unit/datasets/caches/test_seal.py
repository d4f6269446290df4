import os
from pathlib import Path

import pytest

from api.datasets.caches.seal import Tampered, seal


@pytest.fixture
def root(tmp_path: Path) -> Path:
    cache = tmp_path / "datasets" / "cats" / "media" / "cache" / "toy"
    cache.mkdir(parents=True)
    (cache / "shard_0.bin").write_bytes(b"12345")
    (cache.parents[1] / "a.png").write_bytes(b"123")
    return tmp_path / "datasets"


def test_counts_include_only_the_cache(root: Path):
    found = seal(root)
    assert found is not None
    assert (found.files, found.size_bytes) == (1, 5)
    assert seal(root) == found


def test_media_may_be_links_but_their_targets_count(root: Path):
    link = root / "cats" / "media" / "b.png"
    link.symlink_to("/first")
    first = seal(root)
    link.unlink()
    link.symlink_to("/second")
    assert seal(root) != first


@pytest.mark.parametrize("target", ["/dev/zero", "/", "shard_0.bin", "nowhere"])
def test_link_in_a_cache_is_not_followed(root: Path, target: str):
    (root / "cats" / "media" / "cache" / "toy" / "link").symlink_to(target)
    with pytest.raises(Tampered, match="is a link"):
        seal(root)


def test_cache_that_is_itself_a_link_is_rejected(root: Path, tmp_path: Path):
    cache = root / "cats" / "media" / "cache"
    cache.rename(tmp_path / "elsewhere")
    cache.symlink_to(tmp_path / "elsewhere")
    found = seal(root)
    assert found is not None
    assert found.files == 0


def test_pipe_does_not_block(root: Path):
    os.mkfifo(root / "cats" / "pipe")
    with pytest.raises(Tampered, match="not a regular file"):
        seal(root)


def test_missing_directory_has_no_seal(tmp_path: Path):
    assert seal(tmp_path / "absent") is None


def test_linked_directory_is_not_entered(root: Path, tmp_path: Path):
    (tmp_path / "link").symlink_to(root)
    assert seal(tmp_path / "link") is None
