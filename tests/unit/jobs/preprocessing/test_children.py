"""One child process for each item."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from api.domain.datasets.media_settings import MediaSettings
from api.jobs.errors import JobFailed, StopRequested
from api.jobs.preprocessing.children import ItemChild, write_record
from api.jobs.preprocessing.item_work import ItemWork
from api.jobs.preprocessing.work import Made, Record, WorkItem, read_record
from tests.media import picture

ITEM = WorkItem("a.png", "a", 10, "k")


@pytest.fixture
def locations(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "sources").mkdir()
    (tmp_path / "made").mkdir()
    (tmp_path / "sources" / "a").write_bytes(picture())
    return tmp_path / "sources", tmp_path / "made"


def work(locations: tuple[Path, Path], is_stopping: bool = False, **more: Any) -> None:
    sources, made = locations
    settings = MediaSettings(short_side=16)
    child = ItemChild(lambda item, tick: ItemWork(item, settings, sources, made, tick), made, **more)
    child.work_on(ITEM, lambda share: None, lambda: is_stopping)


def test_child_writes_the_record(locations: tuple[Path, Path]):
    work(locations)
    assert read_record((locations[1] / "k.json").read_bytes()).problem is None


def die(self: ItemWork) -> Record:
    os.kill(os.getpid(), 9)
    raise AssertionError


def hang(self: ItemWork) -> Record:
    time.sleep(60)
    raise AssertionError


def fill(self: ItemWork) -> Record:
    raise OSError(28, "No space left on device")


def swallow(self: ItemWork) -> Record:
    raise MemoryError


@pytest.mark.parametrize(("fault", "why"), [(die, "SIGKILL"), (hang, "no frame of it came"), (swallow, "more memory")])
def test_failing_child_affects_its_item_only(
    locations: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, fault: object, why: str
):
    monkeypatch.setattr(ItemWork, "run", fault)
    work(locations, stall_seconds=0.6)
    assert why in (read_record((locations[1] / "k.json").read_bytes()).problem or "")


def test_full_disk_ends_the_program(locations: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ItemWork, "run", fill)
    with pytest.raises(JobFailed, match="disk space"):
        work(locations)


def test_stopped_child_is_killed(locations: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ItemWork, "run", hang)
    with pytest.raises(StopRequested):
        work(locations, is_stopping=True)
    assert not (locations[1] / "k.json").exists()


def test_record_is_written_atomically(tmp_path: Path):
    write_record(tmp_path, Record("k", (Made("", None),)))
    assert [path.name for path in tmp_path.iterdir()] == ["k.json"]
