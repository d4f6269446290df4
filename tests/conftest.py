"""What tests of every kind share."""

import pytest
from hypothesis import settings

from api.utils.clock import FakeClock

# Machines differ in speed and load: how long an example takes says nothing about what is tested.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
