"""What tests of every kind share."""

import pytest

from api.utils.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
