"""HTTP that connects to permitted addresses only: each host is resolved once, and that very address is connected to."""

import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any

import httpcore
import httpx

from api.utils.addresses import PrivateAddress, ReachableHosts

#: Seconds that connecting and a silence may take.
CONNECT_SECONDS, SILENCE_SECONDS = 20.0, 60.0

#: Below so many bytes a second, over so many seconds of waiting for them, a connection counts as cut: whoever sends a
#: byte of a header now and then would else hold a download for weeks.
LEAST_SPEED, SLOW_SECONDS = 1024, 120.0

#: Redirects that are followed, each to an address that is looked at again.
_MOST_REDIRECTS = 8


class WatchedStream(httpcore.NetworkStream):
    """A connection on which bytes must come at some speed while they are waited for, whatever they are of."""

    def __init__(self, stream: httpcore.NetworkStream, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._waited, self._came = 0.0, 0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What comes next. Raises httpcore.ReadTimeout."""
        began = self._clock()
        found = self._stream.read(max_bytes, timeout)
        self._waited += self._clock() - began
        self._came += len(found)
        if self._waited >= SLOW_SECONDS:
            if self._came < LEAST_SPEED * self._waited:
                raise httpcore.ReadTimeout(f"no more than {LEAST_SPEED} bytes a second came for {SLOW_SECONDS:.0f} s")
            self._waited, self._came = 0.0, 0
        return found

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
        return WatchedStream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._clock)

    def get_extra_info(self, info: str) -> Any:
        """What the connection itself tells."""
        return self._stream.get_extra_info(info)


class _GuardedBackend(httpcore.NetworkBackend):
    """Connects where the guard lets it; the name stays that of the host, by which its certificate is checked."""

    def __init__(self, hosts: ReachableHosts) -> None:
        self._hosts = hosts
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
        return WatchedStream(self._plain.connect_tcp(address, port, timeout, local_address, socket_options))


class _GuardedTransport(httpx.HTTPTransport):
    def __init__(self, hosts: ReachableHosts) -> None:
        super().__init__()
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(), network_backend=_GuardedBackend(hosts), http1=True
        )


def open_client(hosts: ReachableHosts, kind: type[httpx.Client] = httpx.Client) -> httpx.Client:
    """A client that follows redirects, and takes neither proxies nor keys from the environment.

    A key that is sent to one host is left out when a redirect leads to another.
    """
    return kind(
        transport=_GuardedTransport(hosts),
        follow_redirects=True,
        max_redirects=_MOST_REDIRECTS,
        trust_env=False,
        timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
        headers={"User-Agent": "diffusion-pipe-api", "Accept-Encoding": "identity"},
    )
