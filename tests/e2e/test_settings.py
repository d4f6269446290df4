"""Stored settings of two real servers."""

import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.databases import BACKENDS, fresh_postgres
from tests.e2e.server import ServerProcess, until
from tests.patience import BUSY_SECONDS


def _setting(server: ServerProcess, key: str) -> Any:
    found = server.client.get("/api/v1/settings").json()["data"]["settings"]
    return next(each for each in found if each["key"] == key)


@pytest.mark.parametrize("backend", BACKENDS)
def test_change_reaches_another_server_within_five_seconds_and_survives_a_restart(backend: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        shared = {"STORAGE_ROOT": str(tmp_path / "data")}
        if backend == "postgresql":
            shared["DATABASE_URL"] = stack.enter_context(fresh_postgres())
        servers = []
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            # The second server's environment wins there.
            own = {"CAPTION_MODEL": "theirs"} if name == "second" else {}
            servers.append(stack.enter_context(ServerProcess(tmp_path / name, {**shared, **own})))
        first, second = servers
        values = {"MAX_CONCURRENT_TASKS": 3, "CAPTION_MODEL": "ours", "CAPTION_KEY": "sk-secret"}
        changed = first.client.patch("/api/v1/settings", json={"values": values})
        assert changed.status_code == 200, changed.text
        began = time.monotonic()
        until(lambda: _setting(second, "MAX_CONCURRENT_TASKS")["value"] == 3, what="the other server")
        assert time.monotonic() - began < 5 + BUSY_SECONDS
        assert _setting(second, "CAPTION_KEY")["value"] == "***"
        assert (_setting(second, "CAPTION_MODEL")["value"], _setting(first, "CAPTION_MODEL")["value"]) == (
            "theirs",
            "ours",
        )
        first.send_signal(signal.SIGTERM)
        first.wait()
        first.start()
        assert _setting(first, "MAX_CONCURRENT_TASKS")["value"] == 3
        logs = first.log_text() + second.log_text()
        assert "sk-secret" not in logs
