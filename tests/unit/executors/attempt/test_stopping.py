"""The rungs of a stop, with disk errors."""

import errno
from pathlib import Path

import pytest

from api.executors.attempt import stopping as stopping_module
from api.executors.attempt.orders import CHECKPOINT, TERMINATE, Order
from api.executors.attempt.processes import Tree
from api.executors.attempt.stopping import Stopping
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
    monkeypatch.setattr(stopping_module, "PATIENCE_SECONDS", 0.0)
    faults.strike("rename", "/save_quit")
    stopping.take(Order(str(tmp_path / "save_quit"), 60.0, 5.0))
    assert stopping.rung == TERMINATE
    assert list(tmp_path.iterdir()) == []
