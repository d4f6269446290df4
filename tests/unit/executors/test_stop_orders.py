import fcntl
import os
import sys
from pathlib import Path

import pytest

from api.executors.executor import AttemptRef, StopOrder
from api.executors.local import LocalExecutor


def test_order_is_written_although_the_directory_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.executors.stop_orders.LOCK_WAIT_SECONDS", 0.0)
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        LocalExecutor(sys.executable, "here", {}).stop(AttemptRef("t.1", tmp_path, tmp_path / "log"), StopOrder())
    finally:
        os.close(handle)
    assert (tmp_path / "stop.json").exists()
