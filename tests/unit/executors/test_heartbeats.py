import os
from pathlib import Path

import pytest

from api.domain.tasks.task import ProcessIdentity
from api.executors import records
from api.executors.records import LOOK_SECONDS, Heartbeats

HERE = ProcessIdentity(os.getpid(), 1.0)


class World:
    """A supervisor's heartbeat and context switches, and our own clock."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.now = 100.0
        self.sleeps = 5
        self._heartbeats = Heartbeats()
        monkeypatch.setattr(records.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(records, "_count_switches", lambda pid: self.sleeps)

    def beats(self, at: float) -> None:
        (self.directory / "heartbeat").touch()
        os.utime(self.directory / "heartbeat", (at, at))

    def measure(self, after: float) -> float:
        self.now += after
        return self._heartbeats.measure(self.directory, HERE)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path, monkeypatch)
    made.beats(1000.0)
    made.measure(0.0)
    return made


def test_missing_heartbeats_are_counted(world: World):
    assert [world.measure(0.5) for _ in range(4)] == [0.5, 1.0, 1.5, 2.0]


def test_heartbeat_counts_whatever_the_wall_clock_shows(world: World):
    world.measure(1.0)
    world.beats(-86_400.0)
    assert world.measure(1.0) == 0.0


def test_disk_without_space_for_heartbeats_makes_no_supervisor_frozen(world: World):
    (world.directory / "heartbeat").unlink()
    world.measure(1.0)
    world.sleeps += 1
    assert world.measure(1.0) == 0.0


def test_suspension_of_this_process_counts_as_one_check(world: World):
    assert world.measure(3600.0) == LOOK_SECONDS


def test_context_switches_of_a_process_are_read():
    assert records._count_switches(os.getpid()) > 0
