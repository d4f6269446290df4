"""Large request bodies, streamed to disk. At most two parts of each are in memory."""

import asyncio
import contextvars
import functools
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager
from typing import ParamSpec, TypeVar

from starlette.types import Receive, Scope

from api.domain.access.principal import Principal
from api.errors import RequestTimeout, Unavailable
from api.util.http.caller import REQUEST_PRINCIPAL, address_of_caller, network_of
from api.web.reply import ClientGone

P = ParamSpec("P")
T = TypeVar("T")

#: Bytes that are written at a time, and the number of writing threads. No thread waits for a client.
PART_BYTES = 1024 * 1024
_THREADS = 8

#: Seconds without data after which a request is ended. Received bytes of an upload stay stored.
IDLE_SECONDS = 30.0

#: The most bodies received at a time. One sender may use at most as many slots as are free: half of them alone, a third
#: each of two, and so on. So a slot remains for the next sender.
MOST_AT_ONCE = 256


class DiskThreads:
    """The threads that write bodies to disk and access the database for them."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="upload")

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function in one of the threads, with the context of the caller, and return its result."""
        work = functools.partial(contextvars.copy_context().run, function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


class BodyStreamer:
    """Receives bodies. Used from the event loop only."""

    def __init__(self, threads: DiskThreads) -> None:
        self.threads = threads
        self._held = Counter[str]()  #: used slots by sender

    async def stream(self, receive: Receive, take: Callable[[bytearray], None], sender: str) -> None:
        """Pass a body on in parts, in order; `take` runs in a thread.

        What arrived before the client disconnected is passed on, too. Raises any error of `take`, ClientGone if the
        client disconnects early, RequestTimeout if it stops sending, and Unavailable if there are too many bodies, in
        total or of this `sender` (`sender_of`).
        """
        with self._slot(sender):
            await self._stream(receive, take)

    @contextmanager
    def _slot(self, sender: str) -> Iterator[None]:
        free = MOST_AT_ONCE - self._held.total()
        if free <= 0:
            raise Unavailable("Too many uploads at a time. Try again later.", headers={"Retry-After": "5"})
        if self._held[sender] >= free:
            what = f"You have {self._held[sender]} uploads in progress. Wait until one of them ends."
            raise Unavailable(what, headers={"Retry-After": "5"})
        self._held[sender] += 1
        try:
            yield
        finally:
            self._held[sender] -= 1
            if not self._held[sender]:
                del self._held[sender]

    async def _stream(self, receive: Receive, take: Callable[[bytearray], None]) -> None:
        writing: asyncio.Task[None] | None = None
        try:
            async with aclosing(_parts(receive)) as parts:
                async for part in parts:
                    # The next part is received while one is written; parts are written one after another.
                    if writing is not None:
                        await asyncio.shield(writing)
                    writing = asyncio.create_task(self.threads.call(take, part))
        finally:
            if writing is not None:
                await asyncio.shield(writing)


def sender_of(scope: Scope) -> str:
    """Return the key that counts bodies together: the user, or the network of an unknown client."""
    principal: Principal | None = scope.get("state", {}).get(REQUEST_PRINCIPAL)
    if principal is None or principal.owner is None:
        return f"address:{network_of(address_of_caller(scope))}"
    return f"user:{principal.owner}"


async def _parts(receive: Receive) -> AsyncGenerator[bytearray, None]:
    """Yield a body in parts of PART_BYTES. Raises ClientGone or RequestTimeout after yielding all received bytes."""
    buffer, more = bytearray(), True
    failure: ClientGone | RequestTimeout | None = None
    while more:
        try:
            message = await asyncio.wait_for(receive(), IDLE_SECONDS)
        except TimeoutError:
            failure = RequestTimeout(headers={"Connection": "close"})
            break
        if message["type"] == "http.disconnect":
            failure = ClientGone()
            break
        buffer += message.get("body", b"")
        more = message.get("more_body", False)
        if len(buffer) >= PART_BYTES:
            yield buffer
            buffer = bytearray()
    if buffer:
        yield buffer
    if failure is not None:
        raise failure
