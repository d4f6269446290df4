import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from api.errors import Unavailable
from api.web import shell as module
from api.web.shell import WorkerSlots


@asynccontextmanager
async def waiting(slots: WorkerSlots, count: int) -> AsyncIterator[None]:
    """Let so many callers wait for a slot until the block ends."""

    async def wait() -> None:
        async with slots.take():
            pass

    tasks = [asyncio.create_task(wait()) for _ in range(count)]
    await asyncio.sleep(0)
    yield
    await asyncio.gather(*tasks)


def test_waiting_request_gets_the_released_slot():
    async def run() -> None:
        slots = WorkerSlots(1)
        async with slots.take():
            waits = asyncio.create_task(anext(aiter(_taken(slots))))
            await asyncio.sleep(0)
            assert not waits.done()
        assert await waits

    asyncio.run(run())


async def _taken(slots: WorkerSlots) -> AsyncIterator[bool]:
    async with slots.take():
        yield True


def test_request_beyond_the_queue_is_rejected_immediately(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MAX_WAITING", 2)

    async def run() -> None:
        slots = WorkerSlots(1)
        held = slots.take()
        await held.__aenter__()
        async with waiting(slots, 2):
            with pytest.raises(Unavailable) as refused:
                async with slots.take():
                    pass
            assert refused.value.headers == {"Retry-After": "1"}
            await held.__aexit__(None, None, None)
        async with slots.take():
            pass  # they have all had overloaded

    asyncio.run(run())


def test_wait_for_a_slot_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.01)

    async def run() -> None:
        slots = WorkerSlots(1)
        async with slots.take():
            with pytest.raises(Unavailable, match="overloaded"):
                async with slots.take():
                    pass
        async with slots.take():
            pass

    asyncio.run(run())
