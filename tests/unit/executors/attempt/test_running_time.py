import pytest

from api.executors.attempt import ended as running_time_module
from api.executors.attempt.ended import RunningTime


class Times:
    """A wall clock that can be set, and a steady clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall, self.steady = 1_000_000.0, 50.0
        monkeypatch.setattr(running_time_module.time, "time", lambda: self.wall)
        monkeypatch.setattr(running_time_module, "steady_seconds", lambda: self.steady)

    def pass_by(self, seconds: float, jump: float = 0.0) -> None:
        self.wall += seconds + jump
        self.steady += seconds


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> Times:
    return Times(monkeypatch)


def test_changed_clock_does_not_change_the_running_time(times: Times) -> None:
    running_time = RunningTime()
    running_time.begin()
    times.pass_by(13, jump=86_400)
    assert running_time.seconds(times.wall) == 13


def test_next_supervisor_continues_the_running_time(times: Times) -> None:
    first, second = RunningTime(), RunningTime()
    first.begin()
    times.pass_by(10, jump=-86_400)
    second.restore(first.as_json(), is_same_boot=True)
    times.pass_by(3)
    assert (second.seconds(times.wall), second.started_at) == (13, 1_000_000.0)


def test_after_a_reboot_the_wall_clock_is_used(times: Times) -> None:
    first, second = RunningTime(), RunningTime()
    first.begin()
    times.steady = 1.0
    second.restore(first.as_json(), is_same_boot=False)
    assert second.seconds(1_000_020.0) == 20
    assert second.seconds(0.0) == 0


def test_unstarted_trainer_has_no_running_time(times: Times) -> None:
    assert RunningTime().seconds(times.wall) is None
