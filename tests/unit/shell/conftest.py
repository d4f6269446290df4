import pytest

from api.shell.gate import Gate
from tests.unit.shell.gates import FakeRing, gate_of


@pytest.fixture
def ring() -> FakeRing:
    return FakeRing()


@pytest.fixture
def gate(ring: FakeRing) -> Gate:
    return gate_of(ring)
