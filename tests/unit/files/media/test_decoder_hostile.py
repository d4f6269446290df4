"""Files that try to break decoders: 25 by default, or the number in HOSTILE_MEDIA."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from api.domain.datasets.dataset import MediaFacts
from api.domain.datasets.media import MediaSource, Recipe
from api.files.media.decoder import MediaDecoder
from tests.unit.files.media.hostile import hostile, whole_files
from tests.unit.files.media.samples import picture

COUNT = int(os.environ.get("HOSTILE_MEDIA", "25"))

#: Seconds that the worst file may take on a busy machine; most take milliseconds.
BOUND = 45.0

RECIPES = [
    Recipe(64, 64, (0.0, 0.0, 50.0, 50.0), (0,), is_video=False),
    Recipe(64, 64, (0.0, 0.0, 50.0, 50.0), (0, 3), True),
]


@pytest.mark.slow
@pytest.mark.timeout(60 + COUNT * 2)
def test_hostile_file_stays_within_all_limits(tmp_path: Path, record_testsuite_property: Callable[[str, object], None]):
    decoder, outside = MediaDecoder(children=1), tmp_path / "files"
    outside.mkdir()
    own, before = psutil.Process(), set(Path("/tmp").iterdir())
    slowest, largest, used = 0.0, 0, own.memory_info().rss
    for seed in range(COUNT):
        path = outside / f"{seed}"
        path.write_bytes(hostile(seed))
        began = time.monotonic()
        found = decoder.examine(MediaSource(path))
        assert isinstance(found.facts, MediaFacts)
        assert decoder.thumbnail(MediaSource(path), 128) is None or found.facts.width is not None
        decoder.as_trained(MediaSource(path), RECIPES[seed % 2], [0])
        slowest = max(slowest, time.monotonic() - began)
        largest = max([largest, *(child.memory_info().rss for child in own.children() if child.is_running())])
        path.unlink()
    assert list(outside.iterdir()) == []
    assert {path.name for path in set(Path("/tmp").iterdir()) - before if "escaped" in path.name} == set()
    assert slowest < BOUND
    assert largest < 2 * 1024**3
    assert own.memory_info().rss - used < 200 * 1024**2
    picture().save(tmp_path / "good.png")
    assert decoder.probe(tmp_path / "good.png").problem is None
    decoder.close()
    record_testsuite_property("worst", f"{slowest:.1f} s, {largest / 1024**2:.0f} MB")


def test_valid_base_files_are_read(tmp_path: Path):
    decoder = MediaDecoder(children=1)
    for kind, content in whole_files().items():
        (tmp_path / kind).write_bytes(content)
    assert {kind: decoder.probe(tmp_path / kind).problem for kind in whole_files()} == dict.fromkeys(whole_files())
    decoder.close()
