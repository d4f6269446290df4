"""uvicorn's server as this service runs it: it ends the streams itself, and whoever does not send or read."""

import asyncio
import signal
import socket
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Protocol

import uvicorn

from api.web.protocol import HTTPProtocol, Served, WebSocketProtocol

#: Seconds that a shutdown waits for requests that are being answered. Streams are ended at once.
GRACE_SECONDS = 3

#: Seconds between two looks at the connections. uvicorn counts tenths of a second, and would be woken by each.
TICK_SECONDS = 1.0

#: Rounds of 0.05 s that a shutdown waits for the streams to send their farewell: 1 s.
FAREWELL_ROUNDS = 20


class Streams(Protocol):
    """What the server needs of the live streams: how many there are, and how to end them."""

    @property
    def count(self) -> int: ...
    def close_soon(self) -> None: ...  # may be called from a signal handler


class Server(uvicorn.Server):
    """uvicorn's server, which ends the streams itself and exits with 0 when it is told to end."""

    def __init__(
        self,
        shell: Served,
        streams: Streams,
        on_started: Callable[[], None],
        trusted_proxies: Sequence[str] = (),
    ) -> None:
        """`on_started` is called once it listens, and answers signals. Of `trusted_proxies`, addresses and networks,
        X-Forwarded-For and X-Forwarded-Proto are believed: the client is the last address that is none of them.
        """
        super().__init__(
            uvicorn.Config(
                shell,
                http=HTTPProtocol,
                ws=WebSocketProtocol,
                ws_max_size=64 * 1024,
                # A client that does not answer a ping is gone within 20 s.
                ws_ping_interval=10.0,
                ws_ping_timeout=10.0,
                ws_per_message_deflate=False,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=bool(trusted_proxies),
                forwarded_allow_ips=list(trusted_proxies),
                timeout_graceful_shutdown=GRACE_SECONDS,
                # Longer than clients and proxies keep an idle connection (60 s, usually): they shall close it first, or
                # a request that is sent in that very moment is lost.
                timeout_keep_alive=75,
            )
        )
        self._streams = streams
        self._unread = shell.unread
        self._on_started = on_started
        self._told_to_end = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._on_started()

    async def main_loop(self) -> None:
        tenths = 0
        while not await self.on_tick(tenths):
            tenths += round(10 * TICK_SECONDS)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._told_to_end.wait(), TICK_SECONDS)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._streams.close_soon()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._told_to_end.set)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn would cut WebSockets off before they have said their last word.
        for server in self.servers:
            server.close()
        for _ in range(FAREWELL_ROUNDS):
            if self._streams.count == 0:
                break
            await asyncio.sleep(0.05)
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
        else:
            # uvicorn would wait for 0.1 s, for nobody.
            await self.lifespan.shutdown()

    async def on_tick(self, counter: int) -> bool:
        # Who has not sent a whole header in 20 s is looked for every 2 s.
        if counter % 20 == 0:
            now = asyncio.get_running_loop().time()
            for connection in [
                c for c in self.server_state.connections if isinstance(c, HTTPProtocol) and c.is_late(now)
            ]:
                connection.transport.abort()
            self._unread.end_slow(now)
        return await super().on_tick(counter)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Ends on SIGINT and SIGTERM without raising them again: being told to end is no failure."""
        handlers = {sig: signal.signal(sig, self.handle_exit) for sig in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for sig, handler in handlers.items():
                signal.signal(sig, handler)
