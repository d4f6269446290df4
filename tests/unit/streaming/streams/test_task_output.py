"""Following the log of one task at the pace of its reader."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine

import pytest

from api.logs.follower import Tail
from api.logs.stream_output import FakePiece, FakeTaskOutput, FollowedLog, LogPiece

PIECES = (FakePiece("log", b"1", 10), FakePiece("log", b"2", 20))


def play(scene: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(asyncio.wait_for(scene(), 5))


async def next_piece(following: FollowedLog, changed: asyncio.Event) -> LogPiece | None:
    await changed.wait()
    changed.clear()
    return following.take()


def test_each_piece_is_fetched_after_the_last_was_taken():
    async def scene() -> None:
        output, changed = FakeTaskOutput(*PIECES), asyncio.Event()
        following = FollowedLog("a", 0, output.follow, changed)
        following.start()
        assert [await next_piece(following, changed) for _ in PIECES] == list(PIECES)
        assert (following.next_offset, following.has_ended) == (20, False)
        await following.aclose()

    play(scene)


def test_finished_task_was_not_cut_off_and_continues_when_resumed():
    async def scene() -> None:
        output, changed = FakeTaskOutput(*PIECES), asyncio.Event()
        output.ended.set()
        following = FollowedLog("a", Tail(5), output.follow, changed)
        assert following.next_offset is None
        following.start()
        for _ in PIECES:
            await next_piece(following, changed)
        await changed.wait()
        assert (following.take(), following.has_ended, following.was_cut_off) == (None, True, False)
        following.start()
        await asyncio.sleep(0.001)
        assert output.starts == [Tail(5), 20]
        await following.aclose()

    play(scene)


def test_log_is_cut_off_when_the_server_ends():
    async def cut(task_id: str, start: int | Tail) -> AsyncGenerator[LogPiece, None]:
        yield PIECES[0]

    async def scene() -> None:
        changed = asyncio.Event()
        following = FollowedLog("a", 0, cut, changed)
        following.start()
        await next_piece(following, changed)
        await changed.wait()
        assert following.was_cut_off

    play(scene)


def test_error_is_raised_to_the_reader():
    async def fail(task_id: str, start: int | Tail) -> AsyncGenerator[LogPiece, None]:
        raise OSError("the disk is away")
        yield PIECES[0]

    async def scene() -> None:
        changed = asyncio.Event()
        following = FollowedLog("a", 0, fail, changed)
        following.start()
        await changed.wait()
        with pytest.raises(OSError, match="the disk is away"):
            following.take()

    play(scene)
