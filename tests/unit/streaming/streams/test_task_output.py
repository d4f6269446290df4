"""Following the output of one task at the pace of its reader."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine

import pytest

from api.logs.follower import Tail
from api.logs.stream_output import FakePiece, FakeTaskOutput, FollowingLog, LogPiece

PIECES = (FakePiece("log", b"1", 10), FakePiece("log", b"2", 20))


def play(scene: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(asyncio.wait_for(scene(), 5))


async def news_of(following: FollowingLog, news: asyncio.Event) -> LogPiece | None:
    await news.wait()
    news.clear()
    return following.take()


def test_each_piece_is_fetched_when_the_last_was_taken():
    async def scene() -> None:
        output, news = FakeTaskOutput(*PIECES), asyncio.Event()
        following = FollowingLog("a", 0, output.follow, news)
        following.start()
        assert [await news_of(following, news) for _ in PIECES] == list(PIECES)
        assert (following.next_offset, following.has_ended) == (20, False)
        await following.aclose()

    play(scene)


def test_a_task_that_ended_was_not_cut_off_and_goes_on_where_it_was():
    async def scene() -> None:
        output, news = FakeTaskOutput(*PIECES), asyncio.Event()
        output.ended.set()
        following = FollowingLog("a", Tail(5), output.follow, news)
        assert following.next_offset is None
        following.start()
        for _ in PIECES:
            await news_of(following, news)
        await news.wait()
        assert (following.take(), following.has_ended, following.was_cut_off) == (None, True, False)
        following.start()
        await asyncio.sleep(0.001)
        assert output.starts == [Tail(5), 20]
        await following.aclose()

    play(scene)


def test_one_whose_server_ends_was_cut_off():
    async def cut(task_id: str, start: int | Tail) -> AsyncGenerator[LogPiece, None]:
        yield PIECES[0]

    async def scene() -> None:
        news = asyncio.Event()
        following = FollowingLog("a", 0, cut, news)
        following.start()
        await news_of(following, news)
        await news.wait()
        assert following.was_cut_off

    play(scene)


def test_what_goes_wrong_is_raised_to_who_takes():
    async def fail(task_id: str, start: int | Tail) -> AsyncGenerator[LogPiece, None]:
        raise OSError("the disk is away")
        yield PIECES[0]

    async def scene() -> None:
        news = asyncio.Event()
        following = FollowingLog("a", 0, fail, news)
        following.start()
        await news.wait()
        with pytest.raises(OSError, match="the disk is away"):
            following.take()

    play(scene)
