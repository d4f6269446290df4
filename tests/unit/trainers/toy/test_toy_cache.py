import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from api.trainers.protocol.caching import find_gap
from api.trainers.toy import toy_files
from api.trainers.toy.trainer import PROGRAM


@pytest.fixture
def toy_cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module as the program imports it: next to its own files."""
    monkeypatch.syspath_prepend(str(PROGRAM.parent))
    yield importlib.import_module("toy_cache")
    for name in ("toy_cache", "toy_files"):
        sys.modules.pop(name, None)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    media = tmp_path / "media"
    media.mkdir()
    for shade in (0, 255):
        Image.new("L", (8, 8), shade).save(media / f"{shade}.png")
    (tmp_path / "dataset.toml").write_text(f'[[directory]]\npath = "{media}"\n')
    return tmp_path / "dataset.toml"


def test_cached_pictures_equal_the_read_ones(toy_cache: ModuleType, dataset: Path):
    assert toy_cache.find(dataset, 4, trusts=True) is None
    toy_cache.write(dataset, 4)
    found = toy_cache.find(dataset, 4, trusts=False)
    assert found is not None
    assert np.array_equal(found, toy_files.read_pictures(dataset, 4))
    assert find_gap([dataset.parent / "media"]) is None


def test_cache_is_not_used_for_another_size_or_other_pictures(toy_cache: ModuleType, dataset: Path):
    toy_cache.write(dataset, 4)
    assert toy_cache.find(dataset, 8, trusts=False) is None
    Image.new("L", (8, 8), 9).save(dataset.parent / "media" / "9.png")
    assert toy_cache.find(dataset, 4, trusts=False) is None
    assert toy_cache.find(dataset, 4, trusts=True) is not None
