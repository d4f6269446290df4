"""HTTP that connects to permitted addresses only: each host is resolved once, and that very address is connected to."""

import math
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any

import httpcore
import httpx

from api.jobs.downloads.refusal import StopAsked
from api.util.addresses import PrivateAddress, ReachableHosts
from api.util.bounded_answers import bound_body

#: Seconds that connecting and a silence may take.
CONNECT_SECONDS, SILENCE_SECONDS = 20.0, 60.0

#: Below so many bytes a second, over so many seconds of waiting for them, a connection counts as cut: whoever sends a
#: byte of a header now and then would else hold a download for weeks.
LEAST_SPEED, SLOW_SECONDS = 1024, 120.0

#: Seconds of silence after which it is looked whether the program shall end.
_LOOK_SECONDS = 0.5

#: Redirects that are followed, each to an address that is looked at again.
_MOST_REDIRECTS = 8


class WatchedStream(httpcore.NetworkStream):
    """A connection on which bytes must come at some speed while they are waited for, whatever they are of."""

    def __init__(
        self,
        stream: httpcore.NetworkStream,
        clock: Callable[[], float] = time.monotonic,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._is_stopping = is_stopping
        self._waited, self._came = 0.0, 0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What comes next. Raises httpcore.ReadTimeout, and StopAsked while nothing comes."""
        began = self._clock()
        found = self._read(max_bytes, timeout)
        self._waited += self._clock() - began
        self._came += len(found)
        if self._waited >= SLOW_SECONDS:
            if self._came < LEAST_SPEED * self._waited:
                raise httpcore.ReadTimeout(f"no more than {LEAST_SPEED} bytes a second came for {SLOW_SECONDS:.0f} s")
            self._waited, self._came = 0.0, 0
        return found

    def _read(self, max_bytes: int, timeout: float | None) -> bytes:
        left = math.inf if timeout is None else timeout
        while True:
            wait = min(left, _LOOK_SECONDS)
            try:
                return self._stream.read(max_bytes, wait)
            except httpcore.ReadTimeout:
                if self._is_stopping():
                    raise StopAsked from None
                left -= wait
                if left <= 0:
                    raise

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Sends; what is waited for is another answer from then on. Raises httpcore.WriteTimeout."""
        self._waited, self._came = 0.0, 0
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        """Ends the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """The same, encrypted from here on."""
        encrypted = self._stream.start_tls(ssl_context, server_hostname, timeout)
        return WatchedStream(encrypted, self._clock, self._is_stopping)

    def get_extra_info(self, info: str) -> Any:
        """What the connection itself tells."""
        return self._stream.get_extra_info(info)


class _GuardedBackend(httpcore.NetworkBackend):
    """Connects where the guard lets it; the name stays that of the host, by which its certificate is checked."""

    def __init__(self, hosts: ReachableHosts, is_stopping: Callable[[], bool]) -> None:
        self._hosts = hosts
        self._is_stopping = is_stopping
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        if not 0 < port < 2**16:
            raise httpx.InvalidURL(f"{port} is no port")
        try:
            address = self._hosts.resolve(host, port)
        except PrivateAddress:
            raise
        except UnicodeError:
            raise httpx.InvalidURL(f"{host[:200]} is no address of a host") from None
        except OSError:  # the name server may be away for a moment only
            raise httpcore.ConnectError(f"the name {host[:200]} leads to no address at present") from None
        stream = self._plain.connect_tcp(address, port, timeout, local_address, socket_options)
        return WatchedStream(stream, is_stopping=self._is_stopping)


class _GuardedTransport(httpx.HTTPTransport):
    def __init__(self, hosts: ReachableHosts, is_stopping: Callable[[], bool], most_bytes: int | None) -> None:
        super().__init__()
        self._most_bytes = most_bytes
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(), network_backend=_GuardedBackend(hosts, is_stopping), http1=True
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request. Raises httpx.TransportError."""
        request.headers["Accept-Encoding"] = "identity"
        return bound_body(super().handle_request(request), self._most_bytes)


def open_client(
    hosts: ReachableHosts,
    kind: type[httpx.Client] = httpx.Client,
    is_stopping: Callable[[], bool] = lambda: False,
    most_bytes: int | None = None,
) -> httpx.Client:
    """A client that follows redirects, and takes neither proxies nor keys from the environment. While a server is
    silent it looks whether it shall stop, and raises StopAsked then.

    A key that is sent to one host is left out when a redirect leads to another. `most_bytes` bounds each answer, for a
    library that reads all of it.
    """
    return kind(
        transport=_GuardedTransport(hosts, is_stopping, most_bytes),
        follow_redirects=True,
        max_redirects=_MOST_REDIRECTS,
        trust_env=False,
        timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
        headers={"User-Agent": "diffusion-pipe-api"},
    )
