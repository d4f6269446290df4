import os
from pathlib import Path

import pytest

from api.datasets.cache_seal import Tampered, seal


@pytest.fixture
def root(tmp_path: Path) -> Path:
    cache = tmp_path / "datasets" / "cats" / "media" / "cache" / "toy"
    cache.mkdir(parents=True)
    (cache / "shard_0.bin").write_bytes(b"12345")
    (cache.parents[1] / "a.png").write_bytes(b"123")
    return tmp_path / "datasets"


def test_the_figures_are_those_of_the_cache_alone(root: Path):
    found = seal(root)
    assert found is not None
    assert (found.files, found.size_bytes) == (1, 5)
    assert seal(root) == found


def test_media_may_be_links_which_lead_where_they_led(root: Path):
    link = root / "cats" / "media" / "b.png"
    link.symlink_to("/first")
    first = seal(root)
    link.unlink()
    link.symlink_to("/second")
    assert seal(root) != first


@pytest.mark.parametrize("target", ["/dev/zero", "/", "shard_0.bin", "nowhere"])
def test_a_link_in_a_cache_is_not_followed(root: Path, target: str):
    (root / "cats" / "media" / "cache" / "toy" / "link").symlink_to(target)
    with pytest.raises(Tampered, match="is a link"):
        seal(root)


def test_a_cache_that_is_a_link_itself_is_none(root: Path, tmp_path: Path):
    cache = root / "cats" / "media" / "cache"
    cache.rename(tmp_path / "elsewhere")
    cache.symlink_to(tmp_path / "elsewhere")
    found = seal(root)
    assert found is not None
    assert found.files == 0


def test_a_pipe_blocks_nobody(root: Path):
    os.mkfifo(root / "cats" / "pipe")
    with pytest.raises(Tampered, match="no file"):
        seal(root)


def test_where_nothing_is_there_is_nothing_to_seal(tmp_path: Path):
    assert seal(tmp_path / "absent") is None


def test_a_directory_that_is_a_link_is_not_entered(root: Path, tmp_path: Path):
    (tmp_path / "link").symlink_to(root)
    assert seal(tmp_path / "link") is None
