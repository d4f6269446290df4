import fcntl
import os
import sys
from pathlib import Path

import pytest

from api.executors.executor import AttemptRef, StopOrder
from api.executors.local import LocalExecutor


def test_an_order_is_written_though_somebody_holds_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.executors.stop_orders.ALONE_SECONDS", 0.0)
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        LocalExecutor(sys.executable, "here", {}).stop(AttemptRef("t.1", tmp_path, tmp_path / "log"), StopOrder())
    finally:
        os.close(handle)
    assert (tmp_path / "stop.json").exists()
