from pathlib import Path

import pytest

from api.util.clock import FakeClock
from tests.unit.training.attempts.watched import Watched


@pytest.fixture
def watched(tmp_path: Path, clock: FakeClock) -> Watched:
    return Watched(tmp_path / "task", clock)
