"""Bodies without end: taken from the event loop to the disk, while no more than two parts of them are in memory."""

import asyncio
import contextvars
import functools
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager
from typing import ParamSpec, TypeVar

from starlette.types import Receive, Scope

from api.domain.access import Principal
from api.errors import RequestTimeout, Unavailable
from api.util.caller import REQUEST_PRINCIPAL, address_of_caller, network_of
from api.web.reply import ClientGone

P = ParamSpec("P")
T = TypeVar("T")

#: Bytes that are written at a time, and threads that write them. None ever waits for a client.
PART_BYTES = 1024 * 1024
_THREADS = 8

#: Seconds that a client may send nothing before its request is ended. What came of an upload is kept.
STILL_SECONDS = 30.0

#: Bodies that may come in at a time. Whoever sends may have as many of these places as are left free by all: half of
#: them alone, a third each of two, and so on, so that there is one for who comes next.
MOST_AT_ONCE = 256


class DiskThreads:
    """The threads that write what comes in, and look into the database for it."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="upload")

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns, called in one of the threads as whoever asks now."""
        work = functools.partial(contextvars.copy_context().run, function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


class Pourer:
    """Takes bodies in. Lives in the event loop."""

    def __init__(self, threads: DiskThreads) -> None:
        self.threads = threads
        self._held = Counter[str]()  #: places by who holds them

    async def pour(self, receive: Receive, take: Callable[[bytearray], None], sender: str) -> None:
        """Hands a body on in parts, in its order; `take` runs in a thread. What came before the client left is handed
        on, too. Raises ClientGone when it leaves before the end, RequestTimeout when it falls silent, Unavailable when
        too many send or this `sender` (`sender_of`) sends too much at a time, and whatever `take` raises.
        """
        with self._place(sender):
            await self._pour(receive, take)

    @contextmanager
    def _place(self, sender: str) -> Iterator[None]:
        free = MOST_AT_ONCE - self._held.total()
        if free <= 0:
            raise Unavailable("Too many uploads are being sent at a time.", headers={"Retry-After": "5"})
        if self._held[sender] >= free:
            what = f"You are sending {self._held[sender]} uploads already, and the places left are for others."
            raise Unavailable(what, headers={"Retry-After": "5"})
        self._held[sender] += 1
        try:
            yield
        finally:
            self._held[sender] -= 1
            if not self._held[sender]:
                del self._held[sender]

    async def _pour(self, receive: Receive, take: Callable[[bytearray], None]) -> None:
        writing: asyncio.Task[None] | None = None
        try:
            async with aclosing(_parts(receive)) as parts:
                async for part in parts:
                    # The next part comes in while one is written; a part is never written beside another.
                    if writing is not None:
                        await asyncio.shield(writing)
                    writing = asyncio.create_task(self.threads.call(take, part))
        finally:
            if writing is not None:
                await asyncio.shield(writing)


def sender_of(scope: Scope) -> str:
    """Whose bodies are counted together: those of a user, by whichever key, or of an address where nobody is known."""
    principal: Principal | None = scope.get("state", {}).get(REQUEST_PRINCIPAL)
    if principal is None or principal.owner is None:
        return f"address:{network_of(address_of_caller(scope))}"
    return f"user:{principal.owner}"


async def _parts(receive: Receive) -> AsyncGenerator[bytearray, None]:
    """A body in parts of some size. Raises ClientGone, RequestTimeout: after it has given what came until then."""
    buffer, more = bytearray(), True
    failure: ClientGone | RequestTimeout | None = None
    while more:
        try:
            message = await asyncio.wait_for(receive(), STILL_SECONDS)
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
