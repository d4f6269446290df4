import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import orjson
import pytest

from api.domain.access.principal import Credential, Principal
from api.errors import KeyRevoked, ServiceError
from api.streaming.permits import Permits

ANN, BOB = (Principal(name, None, frozenset(), Credential.KEY, name) for name in ("ann", "bob"))


class Ended:
    """The principals that have lost access."""

    def __init__(self) -> None:
        self.principals: set[str] = set()

    def why(self, principal: Principal) -> ServiceError | None:
        return KeyRevoked() if principal.user_id in self.principals else None


@pytest.fixture
def ended() -> Ended:
    return Ended()


@pytest.fixture
def permits(ended: Ended) -> Permits:
    return Permits(ended.why)


def play(permits: Permits, scene: Coroutine[Any, Any, None]) -> None:
    async def begin() -> None:
        permits.attach(asyncio.get_running_loop())
        await scene

    asyncio.run(asyncio.wait_for(begin(), 5))


def test_stream_with_access_continues(permits: Permits, ended: Ended):
    async def scene() -> None:
        with permits.hold(ANN) as anns, permits.hold(BOB) as bobs:
            ended.principals.add("bob")
            permits.recheck()
            await bobs
            assert not anns.done()

    play(permits, scene())


def test_last_frame_has_the_reason(permits: Permits, ended: Ended):
    async def scene() -> None:
        with permits.hold(ANN) as last_frame:
            ended.principals.add("ann")
            permits.recheck()
            permits.recheck()
            frame = await last_frame
            assert orjson.loads(frame.json)["data"] == {"reason": "access_ended", "code": "key_revoked"}

    play(permits, scene())


def test_any_thread_may_request_a_check(permits: Permits, ended: Ended):
    async def scene() -> None:
        with permits.hold(ANN) as last_frame:
            ended.principals.add("ann")
            threading.Thread(target=permits.recheck).start()
            await last_frame

    play(permits, scene())


def test_client_that_lost_access_after_its_admission_opens_nothing(permits: Permits, ended: Ended):
    async def scene() -> None:
        ended.principals.add("ann")
        with pytest.raises(KeyRevoked), permits.hold(ANN):
            pass
        assert not permits._open

    play(permits, scene())


def test_ended_streams_are_forgotten(permits: Permits):
    async def scene() -> None:
        with permits.hold(ANN):
            pass
        assert not permits._open

    play(permits, scene())


def test_check_before_and_after_the_loop_does_nothing(permits: Permits):
    permits.recheck()

    async def scene() -> None:
        pass

    play(permits, scene())
    permits.recheck()
