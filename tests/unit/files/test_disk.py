import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from api.errors import InsufficientStorage
from api.files.disk import MB, DiskReserve, describe_shortage, find_shortage, require_free_space


@pytest.fixture(autouse=True)
def _disk_with_100_mb(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100 * MB + 5))


@pytest.mark.parametrize("wanted", [0, 1, 100])
def test_sufficient_space_passes(tmp_path: Path, wanted: int):
    assert describe_shortage(tmp_path, wanted) is None


def test_shortage_is_reported_with_both_numbers(tmp_path: Path):
    result = str(describe_shortage(tmp_path, 2048))
    assert "100 MB" in result
    assert "MIN_FREE_DISK_MB requires 2,048" in result


def test_available_space_excludes_the_reserved_space(tmp_path: Path):
    require_free_space(tmp_path, 90, 10 * MB)
    with pytest.raises(InsufficientStorage, match="10,485,765 usable bytes") as found:
        require_free_space(tmp_path, 90, 10 * MB + 6)
    assert found.value.data == {"available_bytes": 10 * MB + 5}


def test_unreadable_disk_stops_no_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(path: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(shutil, "disk_usage", fail)
    assert describe_shortage(tmp_path, 2048) is None


def test_reserve_holds_space_until_it_is_released(tmp_path: Path):
    reserve = DiskReserve(tmp_path / "reserve", MB)
    assert reserve.fill()
    assert (tmp_path / "reserve").stat().st_blocks * 512 >= MB
    reserve.give_up()
    assert list(tmp_path.iterdir()) == []
    reserve.give_up()


def test_reserve_does_not_fill_the_disk(tmp_path: Path):
    assert not DiskReserve(tmp_path / "reserve", 30 * MB).fill()
    assert list(tmp_path.iterdir()) == []


def test_reserve_follows_no_link(tmp_path: Path):
    target = tmp_path / "target"
    target.write_bytes(b"kept")
    (tmp_path / "reserve").symlink_to(target)
    assert not DiskReserve(tmp_path / "reserve", MB).fill()
    assert target.read_bytes() == b"kept"


def test_shortage_is_a_refusal_with_a_message(tmp_path: Path):
    assert find_shortage(tmp_path, 0) is None
    refusal = find_shortage(tmp_path, 2**40)
    assert refusal is not None
    assert refusal.detail.startswith("There is too little disk space: ")
