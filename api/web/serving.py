"""uvicorn's server with this service's shutdown, timeouts and signal handling."""

import asyncio
import signal
import socket
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Protocol

import uvicorn

from api.web.protocol import Application, HTTPProtocol, WebSocketProtocol

#: Seconds that a shutdown waits for requests in progress. Streams are ended immediately.
GRACE_SECONDS = 3

#: Seconds between two checks of the connections. uvicorn itself wakes ten times a second.
TICK_SECONDS = 1.0

#: Rounds of 0.05 s that a shutdown waits for the streams to send their last message: 1 s.
FAREWELL_ROUNDS = 20


class Streams(Protocol):
    """The live streams: their number, and how to end them."""

    @property
    def count(self) -> int: ...
    def close_soon(self) -> None: ...  # safe in a signal handler


class Server(uvicorn.Server):
    """uvicorn's server; it ends the streams itself and exits with 0 after a signal."""

    def __init__(
        self,
        shell: Application,
        streams: Streams,
        on_started: Callable[[], None],
        trusted_proxies: Sequence[str] = (),
    ) -> None:
        """`on_started` is called once the server listens and handles signals.

        X-Forwarded-For and X-Forwarded-Proto are trusted from `trusted_proxies`, which are addresses and networks: the
        client is the last address that is none of them.
        """
        super().__init__(
            uvicorn.Config(
                shell,
                http=HTTPProtocol,
                ws=WebSocketProtocol,
                ws_max_size=64 * 1024,
                # A client that does not answer a ping is disconnected within 20 s.
                ws_ping_interval=10.0,
                ws_ping_timeout=10.0,
                ws_per_message_deflate=False,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=bool(trusted_proxies),
                forwarded_allow_ips=list(trusted_proxies),
                timeout_graceful_shutdown=GRACE_SECONDS,
                # Longer than clients and proxies keep an idle connection (usually 60 s). They should close it first;
                # otherwise a request that is sent at the moment of closing is lost.
                timeout_keep_alive=75,
            )
        )
        self._streams = streams
        self._unread = shell.unread
        self._on_started = on_started
        self._shutdown_requested = asyncio.Event()
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
                await asyncio.wait_for(self._shutdown_requested.wait(), TICK_SECONDS)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._streams.close_soon()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._shutdown_requested.set)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn would close WebSockets before they send their last message.
        for server in self.servers:
            server.close()
        for _ in range(FAREWELL_ROUNDS):
            if self._streams.count == 0:
                break
            await asyncio.sleep(0.05)
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
        else:
            # uvicorn would wait for 0.1 s without need.
            await self.lifespan.shutdown()

    async def on_tick(self, counter: int) -> bool:
        # Every 2 s: disconnect clients whose headers are not complete after 20 s.
        if counter % 20 == 0:
            now = asyncio.get_running_loop().time()
            for connection in [
                c for c in self.server_state.connections if isinstance(c, HTTPProtocol) and c.is_late(now)
            ]:
                connection.transport.abort()
            self._unread.close_slow(now)
        return await super().on_tick(counter)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """End on SIGINT and SIGTERM without raising the signals again: a requested stop is no failure."""
        handlers = {sig: signal.signal(sig, self.handle_exit) for sig in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for sig, handler in handlers.items():
                signal.signal(sig, handler)
