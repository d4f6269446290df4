"""An HTTP transport that bounds the bytes and the time of a response, however slowly the peer sends.

Every request of the service uses it, except downloads of model files and notifications.
"""

import ssl
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpcore
import httpx

#: Bytes that are written at once; the remaining time is checked in between.
_PIECE = 65_536

#: Seconds for which an idle connection is kept open.
_IDLE_SECONDS = 5.0


class AnswerTooLong(httpx.TransportError):
    """A response exceeds its limit of bytes or of time."""


class WrappedStream(httpcore.NetworkStream):
    """A connection that a subclass bounds in its own way, also after encryption starts."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    @abstractmethod
    def wrap(self, stream: httpcore.NetworkStream) -> httpcore.NetworkStream:
        """Return this stream with the same bounds."""

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Return the connection with encryption."""
        return self.wrap(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """Return a detail of the underlying connection."""
        return self._stream.get_extra_info(info)


class TimedStream(WrappedStream):
    """A connection whose timeout covers a whole request, from its first byte to the last byte of the response.

    A timeout of each read would never expire if the peer sends one byte from time to time.
    """

    def __init__(self, stream: httpcore.NetworkStream, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._clock = clock
        self._ends_at: float | None = None
        self._is_sending = False

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return the next bytes. Raises httpcore.ReadTimeout."""
        self._is_sending = False
        return self._stream.read(max_bytes, self._left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send bytes. A write after a read starts the next request. Raises httpcore.WriteTimeout."""
        if not self._is_sending:
            self._is_sending = True
            self._ends_at = None if timeout is None else self._clock() + timeout
        for start in range(0, len(buffer), _PIECE):
            self._stream.write(buffer[start : start + _PIECE], self._left(timeout, httpcore.WriteTimeout))

    def _left(self, timeout: float | None, late: type[httpcore.TimeoutException]) -> float | None:
        if timeout is None or self._ends_at is None:
            return timeout
        left = self._ends_at - self._clock()
        if left <= 0:
            raise late("the response did not arrive in time")
        return min(timeout, left)

    def wrap(self, stream: httpcore.NetworkStream) -> httpcore.NetworkStream:
        """Return this stream with the same clock."""
        return TimedStream(stream, self._clock)


class _TimedBackend(httpcore.SyncBackend):
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        return TimedStream(super().connect_tcp(host, port, timeout, local_address, socket_options))

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None
    ) -> httpcore.NetworkStream:
        return TimedStream(super().connect_unix_socket(path, timeout, socket_options))


class BoundedTransport(httpx.HTTPTransport):
    """A transport with a pool of its own.

    `most_bytes` limits the body of each response, for libraries that read all of it; None leaves that to the caller.
    """

    def __init__(self, pool: httpcore.ConnectionPool, context: ssl.SSLContext, most_bytes: int | None) -> None:
        super().__init__(verify=context)
        self._most_bytes = most_bytes
        self._pool = pool

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request. Raises httpx.TransportError."""
        request.headers["Accept-Encoding"] = "identity"
        return bound_body(super().handle_request(request), self._most_bytes)


class TimedTransport(BoundedTransport):
    """A transport by TCP or a Unix socket, on which a client's timeout covers a whole request."""

    def __init__(
        self,
        uds: str | None = None,
        most_bytes: int | None = None,
        context: ssl.SSLContext | None = None,
        proxy: str | None = None,
    ) -> None:
        context = context or httpx.create_ssl_context(trust_env=False)
        pool = httpcore.ConnectionPool(
            ssl_context=context,
            keepalive_expiry=_IDLE_SECONDS,
            uds=uds,
            network_backend=_TimedBackend(),
            proxy=None if proxy is None else httpcore.Proxy(proxy),
        )
        super().__init__(pool, context, most_bytes)


class _BoundedBody(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream, most_bytes: int) -> None:
        self._stream = stream
        self._most_bytes = most_bytes

    def __iter__(self) -> Iterator[bytes]:
        count = 0
        for part in self._stream:
            count += len(part)
            if count > self._most_bytes:
                raise AnswerTooLong(f"the response is longer than {self._most_bytes:,} bytes")
            yield part

    def close(self) -> None:
        self._stream.close()


def refuse_compressed(answer: httpx.Response) -> None:
    """Raise AnswerTooLong if a response is compressed: 64 KB of it can become gigabytes."""
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        raise AnswerTooLong("the response is compressed although that was not requested")


def bound_body(answer: httpx.Response, most_bytes: int | None) -> httpx.Response:
    """Limit the body of a response that is read without decoding. Raises AnswerTooLong."""
    try:
        refuse_compressed(answer)
    except AnswerTooLong:
        answer.close()
        raise
    if most_bytes is not None and isinstance(answer.stream, httpx.SyncByteStream):
        answer.stream = _BoundedBody(answer.stream, most_bytes)
    return answer


def read_answer(answer: httpx.Response, most_bytes: int, give_up_at: float) -> bytes:
    """Return the decoded body of a streamed response, until the monotonic time `give_up_at`.

    Raises AnswerTooLong, and httpx.HTTPError if the connection fails.
    """
    return b"".join(read_parts(answer, most_bytes, give_up_at))


def read_parts(answer: httpx.Response, most_bytes: int, give_up_at: float) -> Iterator[bytes]:
    """Yield the same in parts, as they arrive."""
    count = 0
    for part in answer.iter_bytes():
        count += len(part)
        if count > most_bytes or time.monotonic() > give_up_at:
            raise AnswerTooLong("the response is too long or takes too long")
        yield part
