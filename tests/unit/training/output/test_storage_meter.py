"""Disk usage of a user's trainings."""

import os
from pathlib import Path

import pytest

from api.errors import DatabaseUnavailable
from api.training.output import storage_meter
from api.training.output.storage_meter import OwnedTask, StorageMeter
from api.util.clock import FakeClock


class Measured:
    """A meter of a directory, and the trainings that it measures."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.owned: list[OwnedTask] = []
        self.clock = FakeClock()
        self.meter = StorageMeter(lambda: self.owned, root, self.clock)

    def write(self, task_id: str, size: int, name: str = "output/file") -> Path:
        path = self.root / "tasks" / task_id / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
        return path


@pytest.fixture
def measured(tmp_path: Path) -> Measured:
    return Measured(tmp_path)


def blocks(*paths: Path) -> int:
    return sum(512 * path.stat().st_blocks for path in paths)


def test_usage_is_unknown_before_the_first_measurement(measured: Measured):
    assert measured.meter.bytes_of("ann") is None


def test_files_of_all_trainings_of_an_owner_are_summed(measured: Measured):
    mine = [measured.write("a", 70_000), measured.write("a", 5, "log/0.log"), measured.write("b", 9000)]
    measured.write("c", 30_000)
    measured.owned = [("a", "ann", None), ("b", "ann", 5.0), ("c", "bob", None)]
    measured.meter.measure()
    assert measured.meter.bytes_of("ann") == blocks(*mine)
    assert measured.meter.bytes_of("cem") == 0


def test_symbolic_link_is_not_followed(measured: Measured, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "big").write_bytes(os.urandom(100_000))
    inside = measured.write("a", 9000)
    (inside.parent / "link").symlink_to(outside)
    measured.owned = [("a", "ann", None)]
    measured.meter.measure()
    assert measured.meter.bytes_of("ann") == blocks(inside)


def test_running_training_is_measured_often_and_a_finished_one_rarely(measured: Measured):
    measured.owned = [("a", "ann", None), ("b", "bob", 5.0)]
    measured.meter.measure()
    files = {name: measured.write(name, 50_000) for name in "ab"}
    measured.meter.measure()
    assert measured.meter.bytes_of("ann") == 0
    measured.clock.advance(storage_meter.ACTIVE_SECONDS)
    measured.meter.measure()
    assert (measured.meter.bytes_of("ann"), measured.meter.bytes_of("bob")) == (blocks(files["a"]), 0)
    measured.clock.advance(storage_meter.FINISHED_SECONDS)
    measured.meter.measure()
    assert measured.meter.bytes_of("bob") == blocks(files["b"])


def test_training_is_measured_again_after_its_end(measured: Measured):
    measured.owned = [("a", "ann", None)]
    measured.meter.measure()
    file, measured.owned = measured.write("a", 50_000), [("a", "ann", 9.0)]
    measured.meter.measure()
    assert measured.meter.bytes_of("ann") == blocks(file)


def test_deleted_files_are_subtracted_immediately(measured: Measured):
    measured.write("a", 50_000)
    remaining = measured.write("b", 9000)
    measured.owned = [("a", "ann", 1.0), ("b", "ann", 1.0)]
    measured.meter.measure()
    measured.meter.forget("a")
    measured.meter.forget("unknown")
    assert measured.meter.bytes_of("ann") == blocks(remaining)


def test_many_trainings_are_measured_in_batches_and_unknown_until_then(
    measured: Measured, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(storage_meter, "MOST_AT_ONCE", 2)
    measured.owned = [("a", "ann", 1.0), ("b", "bob", 1.0), ("c", "bob", 1.0)]
    measured.meter.measure()
    assert (measured.meter.bytes_of("ann"), measured.meter.bytes_of("bob")) == (0, None)
    measured.meter.measure()
    assert measured.meter.bytes_of("bob") == 0


def test_disk_error_leaves_the_figure_unknown(measured: Measured, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    measured.owned = [("a", "ann", None)]
    monkeypatch.setattr(storage_meter, "walk", fail)
    measured.meter.measure()
    assert measured.meter.bytes_of("ann") is None


def test_figures_stay_while_the_database_is_unavailable(measured: Measured):
    file, measured.owned = measured.write("a", 9000), [("a", "ann", None)]
    measured.meter.measure()

    def unavailable() -> list[OwnedTask]:
        raise DatabaseUnavailable

    measured.meter._owned_tasks = unavailable
    measured.meter.measure()
    assert measured.meter.bytes_of("ann") == blocks(file)


def test_datasets_count_but_their_links_in_a_task_do_not(measured: Measured, tmp_path: Path):
    own = measured.write("a", 9000)
    blob = tmp_path / "blob"
    blob.write_bytes(os.urandom(50_000))
    (tmp_path / "tasks" / "a" / "datasets" / "cats").mkdir(parents=True)
    (tmp_path / "tasks" / "a" / "datasets" / "cats" / "1.png").hardlink_to(blob)
    measured.owned = [("a", "ann", None)]
    meter = StorageMeter(lambda: measured.owned, tmp_path, measured.clock, lambda: {"ann": 7, "bob": 5})
    assert meter.bytes_of("bob") is None
    meter.measure()
    assert (meter.bytes_of("ann"), meter.bytes_of("bob")) == (blocks(own) + 7, 5)


def test_hard_links_do_not_hide_files_of_a_trainer(measured: Measured):
    own = measured.write("a", 9000)
    (own.parent / "twin").hardlink_to(own)
    measured.owned = [("a", "ann", None)]
    measured.meter.measure()
    assert measured.meter.bytes_of("ann") == 2 * blocks(own)


def test_shared_download_counts_for_its_first_owner(measured: Measured):
    brought = {"dl_1": {"/m/a": 1000, "/m/b": 10}, "dl_2": {"/m/a": 1000}, "dl_3": {"/m/c": 5}}
    looks: list[int] = []
    meter = StorageMeter(lambda: measured.owned, measured.root, measured.clock, dict, lambda task: brought[task])
    meter.on_measured = lambda: looks.append(1)
    for task_id in brought:
        measured.write(task_id, 1)
    measured.owned = [("dl_2", "bob", 9.0), ("dl_1", "ann", None), ("dl_3", "bob", None)]
    meter.measure()
    own = meter.bytes_of("ann")
    assert (own or 0) > 1010
    before = meter.bytes_of("bob")
    brought["dl_3"] = {"/m/c": 2005}
    meter.measure()
    after = meter.bytes_of("bob")
    assert ((after or 0) - (before or 0), len(looks)) == (2000, 2)
    assert set(meter.active_downloads()) == {("dl_1", "ann"), ("dl_3", "bob")}
