"""An HTTP client that connects to permitted addresses only. It connects to the same address that it has checked."""

import math
import time
from collections.abc import Callable, Iterable

import httpcore
import httpx

from api.domain.reason import Reason
from api.domain.tasks.cause import CauseCode
from api.jobs.errors import JobFailed, StopRequested
from api.util.http.addresses import PrivateAddress, ReachableHosts
from api.util.http.bounded_answers import BoundedTransport, WrappedStream

#: The time limits for connecting and for waiting for data, in seconds.
CONNECT_SECONDS, SILENCE_SECONDS = 20.0, 60.0

#: A connection with fewer bytes per second, over that many seconds of waiting, counts as broken. Otherwise a server
#: that sends single bytes could block a download for weeks.
LEAST_SPEED, SLOW_SECONDS = 1024, 120.0

#: Seconds between two checks of whether the program should stop.
_POLL_SECONDS = 0.5

#: The limit of redirects. Each new address is checked again.
_MAX_REDIRECTS = 8


class WatchedStream(WrappedStream):
    """A connection that fails if data comes too slowly, headers included."""

    def __init__(
        self,
        stream: httpcore.NetworkStream,
        clock: Callable[[], float] = time.monotonic,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(stream)
        self._clock = clock
        self._is_stopping = is_stopping
        self._waited, self._came = 0.0, 0

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return the next data. Raises httpcore.ReadTimeout, and StopRequested while it waits."""
        started = self._clock()
        found = self._read(max_bytes, timeout)
        self._waited += self._clock() - started
        self._came += len(found)
        if self._waited >= SLOW_SECONDS:
            if self._came < LEAST_SPEED * self._waited:
                raise httpcore.ReadTimeout(f"no more than {LEAST_SPEED} bytes a second came for {SLOW_SECONDS:.0f} s")
            self._waited, self._came = 0.0, 0
        return found

    def _read(self, max_bytes: int, timeout: float | None) -> bytes:
        left = math.inf if timeout is None else timeout
        while True:
            wait = min(left, _POLL_SECONDS)
            try:
                return self._stream.read(max_bytes, wait)
            except httpcore.ReadTimeout:
                if self._is_stopping():
                    raise StopRequested from None
                left -= wait
                if left <= 0:
                    raise

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send data, and restart the speed measurement for the answer. Raises httpcore.WriteTimeout."""
        self._waited, self._came = 0.0, 0
        self._stream.write(buffer, timeout)

    def wrap(self, stream: httpcore.NetworkStream) -> httpcore.NetworkStream:
        """Return this stream, watched in the same way."""
        return WatchedStream(stream, self._clock, self._is_stopping)


class _GuardedBackend(httpcore.NetworkBackend):
    """Connects to permitted addresses only. Certificates are still checked against the host name."""

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
            raise httpx.InvalidURL(f"{port} is not a port")
        try:
            address = self._hosts.resolve(host, port)
        except PrivateAddress:
            raise
        except UnicodeError:
            raise httpx.InvalidURL(f"{host[:200]} is not a host name") from None
        except OSError:  # the name server may be unreachable for a moment
            raise httpcore.ConnectError(f"the name {host[:200]} cannot be resolved at present") from None
        stream = self._plain.connect_tcp(address, port, timeout, local_address, socket_options)
        return WatchedStream(stream, is_stopping=self._is_stopping)


def open_client(
    hosts: ReachableHosts,
    kind: type[httpx.Client] = httpx.Client,
    is_stopping: Callable[[], bool] = lambda: False,
    most_bytes: int | None = None,
) -> httpx.Client:
    """Return a client that follows redirects and ignores proxies and keys of the environment.

    A redirect to another host does not get the key. The client raises StopRequested while it waits for data.
    `most_bytes` limits each answer, for libraries that read the whole answer.
    """
    context = httpx.create_ssl_context()
    pool = httpcore.ConnectionPool(ssl_context=context, network_backend=_GuardedBackend(hosts, is_stopping))
    return kind(
        transport=BoundedTransport(pool, context, most_bytes),
        follow_redirects=True,
        max_redirects=_MAX_REDIRECTS,
        trust_env=False,
        timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
        headers={"User-Agent": "diffusion-pipe-api"},
    )


def private_address(error: PrivateAddress) -> JobFailed:
    """Return the failure for a host that must not be connected to."""
    message = Reason.of(
        "{host} leads to a private address. If that is intended, ask an administrator to list it in"
        " PRIVATE_HOSTS_ALLOWED.",
        "download_private",
        host=error.host,
    )
    return JobFailed(message, CauseCode.REFUSED_ADDRESS)
