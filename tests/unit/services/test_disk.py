import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from api.services.disk import MB, describe_shortage


@pytest.fixture(autouse=True)
def _disk_with_100_mb(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100 * MB + 5))


@pytest.mark.parametrize("wanted", [0, 1, 100])
def test_enough_is_enough(tmp_path: Path, wanted: int):
    assert describe_shortage(tmp_path, wanted) is None


def test_shortage_is_told_with_both_figures(tmp_path: Path):
    told = str(describe_shortage(tmp_path, 2048))
    assert "100 MB" in told
    assert "MIN_FREE_DISK_MB asks for 2,048" in told


def test_disk_that_cannot_be_asked_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(path: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(shutil, "disk_usage", fail)
    assert describe_shortage(tmp_path, 2048) is None
