"""Connections for the two clients, and the way in which the blocking one runs asynchronous code.

The logic is written once, in `aio.py`. Over blocking connections no coroutine ever suspends, so that `run` gets its
result in one step, without an event loop or threads.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

import httpx

T = TypeVar("T")

#: An open answer and the parts of its body. Of an error, the body has been read already.
Opened = tuple[httpx.Response, AsyncIterator[bytes]]


class Connection:
    """The connections of an httpx client of either kind. A blocking one blocks the calling thread, also to sleep."""

    def __init__(self, http: httpx.AsyncClient | httpx.Client) -> None:
        self._http = http

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        if isinstance(self._http, httpx.Client):
            return self._http.request(method, path, **options)
        return await self._http.request(method, path, **options)

    @asynccontextmanager
    async def stream(self, path: str, **options: Any) -> AsyncIterator[Opened]:
        if isinstance(self._http, httpx.Client):
            with self._http.stream("GET", path, **options) as response:
                if not response.is_success:
                    response.read()
                yield response, _chunks(response)
        else:
            async with self._http.stream("GET", path, **options) as response:
                if not response.is_success:
                    await response.aread()
                yield response, response.aiter_bytes()

    async def sleep(self, seconds: float) -> None:
        if isinstance(self._http, httpx.Client):
            time.sleep(seconds)
        else:
            await asyncio.sleep(seconds)

    async def close(self) -> None:
        if isinstance(self._http, httpx.Client):
            self._http.close()
        else:
            await self._http.aclose()


async def _chunks(response: httpx.Response) -> AsyncIterator[bytes]:
    for chunk in response.iter_bytes():
        yield chunk


def run(work: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine over blocking connections."""
    try:
        work.send(None)
    except StopIteration as end:
        return cast(T, end.value)
    work.close()
    raise RuntimeError("a blocking call has suspended")


def iterate(rows: AsyncIterator[T]) -> Iterator[T]:
    """Yield what an asynchronous generator over blocking connections yields."""
    missing = object()

    async def following() -> Any:
        return await anext(rows, missing)

    try:
        while (row := run(following())) is not missing:
            yield cast(T, row)
    finally:
        run(cast(AsyncGenerator[T, None], rows).aclose())
