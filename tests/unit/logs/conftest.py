"""Fixtures for tests of logs."""

from pathlib import Path

import pytest

from api.logs import feed as log_feed
from api.logs import lines as line_stream
from api.logs import reader as log_reader
from tests.unit.log_making import MadeLog


@pytest.fixture
def log(tmp_path: Path) -> MadeLog:
    return MadeLog(tmp_path / "log")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_feed, "GATHER_SECONDS", 0.001)
    monkeypatch.setattr(log_feed, "END_CHECK_SECONDS", 0.0)


@pytest.fixture
def short_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut lines at 64 bytes instead of 1 MiB."""
    for module in (line_stream, log_reader):
        monkeypatch.setattr(module, "LINE_BYTES", 64)
