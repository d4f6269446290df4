"""Sending frames to one client."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from api.streaming import delivery as carrying
from api.streaming.delivery import Frames, deliver
from api.streaming.frames import Frame, closing_frame
from api.streaming.models import MessageType, StreamEnding
from api.streaming.subscription import TooSlow

ONE = Frame(MessageType.SYSTEM, b"{}", "1")


class Client:
    """The frames that one client receives; it reads while `reads` is set."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.left = asyncio.Event()
        self.was_closed = False

    async def send(self, some: Sequence[Frame]) -> None:
        await self.reads.wait()
        self.got += [frame.type.value for frame in some]

    async def beat(self) -> None:
        await self.reads.wait()
        self.got.append("heartbeat")

    async def leave(self) -> None:
        await self.left.wait()

    async def frames(
        self, *some: Sequence[Frame], then: Callable[[], Coroutine[Any, Any, Any]] | None = None
    ) -> Frames:
        try:
            for each in some:
                yield each
            if then is not None:
                await then()
        finally:
            self.was_closed = True

    async def deliver(self, frames: Frames) -> bool:
        return await asyncio.wait_for(deliver(frames, self.send, self.beat, self.leave()), 5)


def test_everything_is_sent_until_the_end():
    async def scene() -> None:
        client = Client()
        assert await client.deliver(client.frames([ONE, ONE], [], [ONE]))
        assert client.got == ["system"] * 3

    asyncio.run(scene())


def test_nothing_is_sent_to_a_client_that_has_left():
    async def scene() -> None:
        client = Client()
        asyncio.get_running_loop().call_later(0.02, client.left.set)
        assert not await client.deliver(client.frames([ONE], then=lambda: asyncio.sleep(60)))
        assert client.was_closed

    asyncio.run(scene())


def test_heartbeat_is_sent_without_messages(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(carrying, "HEARTBEAT_SECONDS", 0.01)

    async def scene() -> None:
        client = Client()
        await client.deliver(client.frames([ONE], then=lambda: asyncio.sleep(0.1)))
        assert client.got[:3] == ["system", "heartbeat", "heartbeat"]

    asyncio.run(scene())


def test_client_that_does_not_read_is_too_slow(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(carrying, "SEND_SECONDS", 0.02)

    async def scene() -> None:
        client = Client()
        client.reads.clear()
        with pytest.raises(TooSlow):
            await client.deliver(client.frames([ONE], then=lambda: asyncio.sleep(60)))
        assert client.was_closed

    asyncio.run(scene())


def test_client_that_does_not_take_a_heartbeat_is_too_slow(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(carrying, "SEND_SECONDS", 0.02)
    monkeypatch.setattr(carrying, "HEARTBEAT_SECONDS", 0.01)

    async def scene() -> None:
        client = Client()
        client.reads.clear()
        with pytest.raises(TooSlow):
            await client.deliver(client.frames(then=lambda: asyncio.sleep(60)))

    asyncio.run(scene())


def test_last_frame_waits_only_for_a_moment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(carrying, "LAST_FRAME_SECONDS", 0.02)

    async def scene() -> None:
        client = Client()
        client.reads.clear()
        with pytest.raises(TooSlow):
            await client.deliver(client.frames([closing_frame(StreamEnding.TOO_SLOW)]))

    asyncio.run(scene())


def test_last_frame_interrupts_everything():
    async def scene() -> None:
        client, last_frame = Client(), asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.02, last_frame.set_result, closing_frame(StreamEnding.ACCESS_ENDED))
        frames = client.frames([ONE], then=lambda: asyncio.sleep(60))
        assert await asyncio.wait_for(deliver(frames, client.send, client.beat, client.leave(), last_frame), 5)
        assert client.got == ["system", "closing"]
        assert client.was_closed

    asyncio.run(scene())


def test_last_frame_does_not_wait_for_a_client_that_does_not_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(carrying, "ACCESS_ENDED_SECONDS", 0.02)

    async def scene() -> None:
        client, last_frame = Client(), asyncio.get_running_loop().create_future()
        client.reads.clear()
        asyncio.get_running_loop().call_later(0.02, last_frame.set_result, closing_frame(StreamEnding.ACCESS_ENDED))
        frames = client.frames([ONE], then=lambda: asyncio.sleep(60))
        with pytest.raises(TooSlow):
            await asyncio.wait_for(deliver(frames, client.send, client.beat, client.leave(), last_frame), 5)
        assert client.was_closed

    asyncio.run(scene())


def test_error_of_the_frames_is_raised():
    async def fail() -> None:
        raise ZeroDivisionError

    async def scene() -> None:
        client = Client()
        with pytest.raises(ZeroDivisionError):
            await client.deliver(client.frames([ONE], then=fail))
        assert client.got == ["system"]

    asyncio.run(scene())
