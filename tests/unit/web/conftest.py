import pytest

from api.web.gate import Gate
from tests.unit.web.gates import FakeRing, gate_of


@pytest.fixture
def ring() -> FakeRing:
    return FakeRing()


@pytest.fixture
def gate(ring: FakeRing) -> Gate:
    return gate_of(ring)
