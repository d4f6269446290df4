import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from api.errors import Invalid
from api.streaming.addresses import Asked
from api.streaming.delivery import Frames
from api.streaming.later import opened_later

ASKED = Asked({}, "", None)


@asynccontextmanager
async def _refuse(asked: Asked) -> AsyncIterator[Frames]:
    raise Invalid
    yield


@asynccontextmanager
async def _open(asked: Asked) -> AsyncIterator[Frames]:
    yield _no_frames()


async def _no_frames() -> Frames:
    for frames in ():
        yield frames


def _enter(opener, times: int = 1) -> None:
    async def enter() -> None:
        for _ in range(times):
            async with opener(ASKED):
                pass

    asyncio.run(enter())


def test_a_stream_is_loaded_once_and_in_a_thread_of_its_own():
    loaded_in: list[threading.Thread] = []

    def load():
        loaded_in.append(threading.current_thread())
        return _open

    opener = opened_later(load)
    assert loaded_in == []
    _enter(opener, times=3)
    assert len(loaded_in) == 1
    assert loaded_in[0] is not threading.main_thread()


def test_what_is_wrong_with_the_request_is_raised_on_entering():
    with pytest.raises(Invalid):
        _enter(opened_later(lambda: _refuse))


def test_what_fails_to_load_is_tried_anew_by_the_next_subscriber():
    answers = iter([OSError("disk"), _open])

    def load():
        found = next(answers)
        if isinstance(found, OSError):
            raise found
        return found

    opener = opened_later(load)
    with pytest.raises(OSError, match="disk"):
        _enter(opener)
    _enter(opener)
