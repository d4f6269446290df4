import os
from pathlib import Path

import pytest

from api.domain.task import ProcessIdentity
from api.executors import heartbeats
from api.executors.heartbeats import LOOK_SECONDS, Heartbeats

HERE = ProcessIdentity(os.getpid(), 1.0)


class World:
    """A supervisor's heartbeat and sleeps, and our own clock."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.now = 100.0
        self.sleeps = 5
        self._heartbeats = Heartbeats()
        monkeypatch.setattr(heartbeats.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(heartbeats, "_count_switches", lambda pid: self.sleeps)

    def beats(self, at: float) -> None:
        (self.directory / "heartbeat").touch()
        os.utime(self.directory / "heartbeat", (at, at))

    def look(self, after: float) -> float:
        self.now += after
        return self._heartbeats.measure(self.directory, HERE)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path, monkeypatch)
    made.beats(1000.0)
    made.look(0.0)
    return made


def test_heart_that_stands_still_is_counted(world: World):
    assert [world.look(0.5) for _ in range(4)] == [0.5, 1.0, 1.5, 2.0]


def test_heart_that_beats_is_alive_whatever_the_wall_clock_says(world: World):
    world.look(1.0)
    world.beats(-86_400.0)
    assert world.look(1.0) == 0.0


def test_disk_that_takes_no_heartbeat_makes_nobody_frozen(world: World):
    (world.directory / "heartbeat").unlink()
    world.look(1.0)
    world.sleeps += 1
    assert world.look(1.0) == 0.0


def test_pause_of_our_own_counts_as_one_look(world: World):
    assert world.look(3600.0) == LOOK_SECONDS


def test_sleeps_of_a_process_are_counted():
    assert heartbeats._count_switches(os.getpid()) > 0
