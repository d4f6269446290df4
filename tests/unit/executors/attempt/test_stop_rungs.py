"""The rungs of a stop, with disk errors."""

import errno
import signal
from pathlib import Path
from typing import Any

import pytest

from api.executors.attempt import stop_rungs
from api.executors.attempt.orders import CHECKPOINT, TERMINATE, Order
from api.executors.attempt.processes import Tree
from api.executors.attempt.stop_rungs import Stopping
from tests.faults import Faults


@pytest.fixture
def stopping() -> Stopping:
    return Stopping(Tree("t.1"), 1.0, lambda: None)


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_temporarily_refused_signal_file_still_allows_a_checkpoint(
    stopping: Stopping, tmp_path: Path, faults: Faults, error: int
) -> None:
    faults.strike("rename", "/save_quit", error, times=2)
    stopping.take(Order(str(tmp_path / "save_quit"), 60.0, 5.0))
    for _ in range(2):
        assert stopping.rung == CHECKPOINT
        stopping.advance(is_main_alive=True)
    assert stopping.rung == CHECKPOINT
    assert [path.name for path in tmp_path.iterdir()] == ["save_quit"]


def test_permanently_refused_signal_file_is_followed_by_sigterm(
    stopping: Stopping, tmp_path: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop_rungs, "PATIENCE_SECONDS", 0.0)
    faults.strike("rename", "/save_quit")
    stopping.take(Order(str(tmp_path / "save_quit"), 60.0, 5.0))
    assert stopping.rung == TERMINATE
    assert list(tmp_path.iterdir()) == []


class Leftover:
    """A process that outlives the main process, and the tree that consists of it."""

    identity = (51, 1)
    is_settled = True

    def __init__(self) -> None:
        self.received: list[int] = []

    def scan(self) -> list["Leftover"]:
        return [self]

    def send(self, number: int) -> None:
        self.received.append(number)


@pytest.mark.parametrize(("is_finished", "seconds"), [(True, 1.1), (False, 5.1)])
def test_processes_outlive_a_finished_training_only_briefly(
    monkeypatch: pytest.MonkeyPatch, is_finished: bool, seconds: float
) -> None:
    now, left = [100.0], Leftover()
    monkeypatch.setattr(stop_rungs.time, "monotonic", lambda: now[0])
    tree: Any = left
    stopping = Stopping(tree, 5.0, lambda: None)
    if is_finished:
        stopping.shorten()
    for passed in (0.0, seconds - 0.2, seconds, seconds + 0.1):
        now[0] = 100.0 + passed
        assert left.received == []
        stopping.advance(is_main_alive=False)
    assert left.received[0] == signal.SIGTERM
