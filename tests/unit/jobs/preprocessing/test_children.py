"""A process for each item."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from api.domain.media_settings import MediaSettings
from api.jobs.preprocessing.children import DiskTrouble, ItemChild, write_record
from api.jobs.preprocessing.item_work import ItemWork
from api.jobs.preprocessing.work import Made, Record, WorkItem, read_record
from tests.media import picture

ITEM = WorkItem("a.png", "a", 10, "k")


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "sources").mkdir()
    (tmp_path / "made").mkdir()
    (tmp_path / "sources" / "a").write_bytes(picture())
    return tmp_path / "sources", tmp_path / "made"


def work(places: tuple[Path, Path], is_wanted: bool = True, **more: Any) -> Record | None:
    sources, made = places
    settings = MediaSettings(short_side=16)
    child = ItemChild(lambda item, tick: ItemWork(item, settings, sources, made, tick), made, **more)
    return child.work_on(ITEM, lambda share: None, lambda: is_wanted)


def test_a_child_leaves_the_record(places: tuple[Path, Path]):
    assert work(places) is None
    assert read_record((places[1] / "k.json").read_bytes()).problem is None


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
def test_what_takes_a_child_down_costs_that_item_alone(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, fault: object, why: str
):
    monkeypatch.setattr(ItemWork, "run", fault)
    record = work(places, stall_seconds=0.6)
    assert record is not None
    assert why in (record.problem or "")
    assert read_record((places[1] / "k.json").read_bytes()) == record


def test_a_full_disk_ends_the_work(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ItemWork, "run", fill)
    with pytest.raises(DiskTrouble):
        work(places)


def test_what_is_not_wanted_any_more_is_ended(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ItemWork, "run", hang)
    assert work(places, is_wanted=False) is None
    assert not (places[1] / "k.json").exists()


def test_a_record_is_whole_or_not_there(tmp_path: Path):
    write_record(tmp_path, Record("k", (Made("", None),)))
    assert [path.name for path in tmp_path.iterdir()] == ["k.json"]
