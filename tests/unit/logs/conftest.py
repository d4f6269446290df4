"""Fixtures for tests of feeds and followers."""

from pathlib import Path

import pytest

from api.logs import feed as log_feed
from tests.unit.log_making import MadeLog


@pytest.fixture
def log(tmp_path: Path) -> MadeLog:
    return MadeLog(tmp_path / "log")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_feed, "GATHER_SECONDS", 0.001)
    monkeypatch.setattr(log_feed, "END_CHECK_SECONDS", 0.0)
