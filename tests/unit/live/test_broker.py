import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from api.errors import Unavailable
from api.live import broker as broker_module
from api.live.broker import QUEUE_MESSAGES, Broker, Message, Subscription

Play = Callable[[Broker], Coroutine[Any, Any, Any]]


def play(scene: Play) -> Any:
    async def run() -> Any:
        broker = Broker()
        broker.attach(asyncio.get_running_loop())
        return await asyncio.wait_for(scene(broker), 20)

    return asyncio.run(run())


async def settle() -> None:
    # Twice: once for what was called soon, once for what that woke.
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def drain(subscription: Subscription) -> list[int | None]:
    seen: list[int | None] = []
    while not subscription._queue.empty():
        message = await subscription.get()
        seen.append(None if message is None else message.number)
    return seen


def test_message_is_framed_as_an_event():
    assert Message.of(7, b'{"a":1}').event == b'id: 7\ndata: {"a":1}\n\n'


def test_every_subscriber_gets_every_message():
    async def scene(broker: Broker) -> None:
        with broker.subscribe() as first, broker.subscribe() as second:
            for number in (1, 2, 3):
                broker.publish(number, b"{}")
            await settle()
            assert await drain(first) == await drain(second) == [1, 2, 3]

    play(scene)


def test_latest_message_is_kept_for_who_comes_later():
    async def scene(broker: Broker) -> None:
        broker.publish(1, b"{}")
        assert broker.latest is not None
        assert broker.latest.number == 1

    play(scene)


def test_message_before_there_is_a_loop_is_nobodys():
    broker = Broker()
    broker.publish(1, b"{}")
    assert broker.latest is not None


def test_message_after_the_loop_has_ended_is_nobodys():
    broker = Broker()

    async def scene() -> None:
        broker.attach(asyncio.get_running_loop())
        broker._subscriptions.add(Subscription())

    asyncio.run(scene())
    broker.publish(1, b"{}")
    assert broker.latest is not None


def test_lagging_subscriber_is_dropped_and_the_others_are_not():
    async def scene(broker: Broker) -> None:
        with broker.subscribe() as lagging, broker.subscribe() as reading:
            seen: list[int | None] = []
            for number in range(QUEUE_MESSAGES + 5):
                broker.publish(number, b"{}")
                await settle()
                seen += await drain(reading)
            assert (broker.subscribers, broker.dropped) == (1, 1)
            assert lagging.has_lagged
            assert await drain(lagging) == [*range(QUEUE_MESSAGES), None]
            assert (seen, reading.has_lagged) == (list(range(QUEUE_MESSAGES + 5)), False)

    play(scene)


def test_subscriber_that_is_just_not_too_far_behind_stays():
    async def scene(broker: Broker) -> None:
        with broker.subscribe() as slow:
            for number in range(QUEUE_MESSAGES):
                broker.publish(number, b"{}")
            await settle()
            assert (broker.subscribers, slow.has_lagged) == (1, False)

    play(scene)


def test_subscription_ends_with_its_block():
    async def scene(broker: Broker) -> None:
        with contextlib.suppress(ZeroDivisionError), broker.subscribe():
            assert broker.subscribers == 1
            raise ZeroDivisionError
        assert broker.subscribers == 0

    play(scene)


def test_one_subscriber_too_many_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(broker_module, "MAX_SUBSCRIBERS", 1)

    async def scene(broker: Broker) -> None:
        with broker.subscribe():
            with pytest.raises(Unavailable) as refused, broker.subscribe():
                pass
            assert refused.value.headers["Retry-After"]
        with broker.subscribe():
            assert broker.subscribers == 1

    play(scene)


def test_close_ends_every_subscription_after_what_is_queued():
    async def scene(broker: Broker) -> None:
        with broker.subscribe() as subscription:
            broker.publish(1, b"{}")
            await settle()
            broker.close()
            assert await drain(subscription) == [1, None]
            with pytest.raises(Unavailable), broker.subscribe():
                pass

    play(scene)


def test_close_can_be_asked_for_from_another_thread():
    async def scene(broker: Broker) -> None:
        with broker.subscribe() as subscription:
            threading.Thread(target=broker.close_soon).start()
            assert await subscription.get() is None

    play(scene)


def test_full_queue_still_ends():
    async def scene(broker: Broker) -> None:
        with broker.subscribe() as subscription:
            for number in range(QUEUE_MESSAGES):
                broker.publish(number, b"{}")
            await settle()
            broker.close()
            assert (await drain(subscription))[-1] is None

    play(scene)


LAST = 3000


async def follow(broker: Broker) -> list[int]:
    """What a subscriber sees that looks at the latest first, as the streams do."""
    with broker.subscribe() as subscription:
        seen = [] if broker.latest is None else [broker.latest.number]
        while not seen or seen[-1] < LAST:
            message = await subscription.get()
            assert message is not None
            if not seen or message.number > seen[-1]:
                seen.append(message.number)
        return seen


def publish_all(broker: Broker, loop: asyncio.AbstractEventLoop) -> None:
    # The loop gives room back, so that nobody is dropped for lagging.
    room = threading.Semaphore(4)
    for number in range(1, LAST + 1):
        room.acquire(timeout=20)
        broker.publish(number, b"{}")
        loop.call_soon_threadsafe(room.release)


def test_no_message_is_lost_or_doubled_at_subscribing():
    async def scene(broker: Broker) -> list[list[int]]:
        thread = threading.Thread(target=publish_all, args=(broker, asyncio.get_running_loop()))
        thread.start()
        followers = []
        for _ in range(50):
            followers.append(asyncio.create_task(follow(broker)))
            await settle()
        found = await asyncio.gather(*followers)
        thread.join()
        return found

    for seen in play(scene):
        assert seen == list(range(seen[0], LAST + 1))
