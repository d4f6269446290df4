"""A server that requires keys, with a clock that a test sets."""

from collections.abc import Callable
from typing import Any

import pytest

from api.access.service import KeyRequest
from api.domain.access.principal import LOCAL, Role
from api.util.clock import FakeClock
from tests.api.auth.keys import Headers
from tests.api.conftest import MakeWorld, World


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def world(make_world: MakeWorld, clock: FakeClock) -> World:
    return make_world(auth="required", clock=clock)


@pytest.fixture
def key(world: World) -> Callable[..., Headers]:
    """Create a key and return the headers that authenticate with it."""

    def make(**fields: Any) -> Headers:
        made = world.runtime.services.access.service.generate(KeyRequest(**fields), LOCAL)
        return {"Authorization": f"Bearer {made.api_key}"}

    return make


@pytest.fixture
def admin(key: Callable[..., Headers]) -> Headers:
    return key(user_id="root", role=Role.ADMIN)
