from pathlib import Path

import pytest

from api.utils.clock import FakeClock
from tests.unit.services.attempts.watched import Watched


@pytest.fixture
def watched(tmp_path: Path, clock: FakeClock) -> Watched:
    return Watched(tmp_path / "task", clock)
