import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from api.errors import Unavailable
from api.web import places as module
from api.web.places import Places


@asynccontextmanager
async def waiting(places: Places, count: int) -> AsyncIterator[None]:
    """So many who wait for a place, until the block ends."""

    async def wait() -> None:
        async with places.take():
            pass

    tasks = [asyncio.create_task(wait()) for _ in range(count)]
    await asyncio.sleep(0)
    yield
    await asyncio.gather(*tasks)


def test_who_waits_gets_the_place_that_is_given_back():
    async def run() -> None:
        places = Places(1)
        async with places.take():
            waits = asyncio.create_task(anext(aiter(_taken(places))))
            await asyncio.sleep(0)
            assert not waits.done()
        assert await waits

    asyncio.run(run())


async def _taken(places: Places) -> AsyncIterator[bool]:
    async with places.take():
        yield True


def test_one_too_many_is_told_to_come_again_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "WAITING", 2)

    async def run() -> None:
        places = Places(1)
        held = places.take()
        await held.__aenter__()
        async with waiting(places, 2):
            with pytest.raises(Unavailable) as refused:
                async with places.take():
                    pass
            assert refused.value.headers == {"Retry-After": "1"}
            await held.__aexit__(None, None, None)
        async with places.take():
            pass  # they have all had their turn

    asyncio.run(run())


def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.01)

    async def run() -> None:
        places = Places(1)
        async with places.take():
            with pytest.raises(Unavailable, match="their turn"):
                async with places.take():
                    pass
        async with places.take():
            pass

    asyncio.run(run())
