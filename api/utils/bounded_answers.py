"""Answers to HTTP questions within a bound of bytes and of time, however slowly a peer speaks."""

import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpcore
import httpx

#: Bytes that are handed to the system at once: in between it is looked whether there is time left.
_PIECE = 65_536

#: Seconds for which a connection that nobody asks on is kept.
_IDLE_SECONDS = 5.0


class AnswerTooLong(Exception):
    """An answer has more bytes than are read, or takes longer than is waited."""


class TimedStream(httpcore.NetworkStream):
    """A connection on which a timeout is that of a whole question, from its first byte to the last of the answer.

    Of a single read it would never be over: whoever sends a byte of a header now and then is waited for all day.
    """

    def __init__(self, stream: httpcore.NetworkStream, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._ends_at: float | None = None
        self._is_asking = False

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What comes next. Raises httpcore.ReadTimeout."""
        self._is_asking = False
        return self._stream.read(max_bytes, self._left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Sends; what follows an answer is another question. Raises httpcore.WriteTimeout."""
        if not self._is_asking:
            self._is_asking = True
            self._ends_at = None if timeout is None else self._clock() + timeout
        for start in range(0, len(buffer), _PIECE):
            self._stream.write(buffer[start : start + _PIECE], self._left(timeout, httpcore.WriteTimeout))

    def _left(self, timeout: float | None, late: type[httpcore.TimeoutException]) -> float | None:
        if timeout is None or self._ends_at is None:
            return timeout
        left = self._ends_at - self._clock()
        if left <= 0:
            raise late("the answer did not come in time")
        return min(timeout, left)

    def close(self) -> None:
        """Ends the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """The same, encrypted from here on."""
        return TimedStream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._clock)

    def get_extra_info(self, info: str) -> Any:
        """What the connection itself tells."""
        return self._stream.get_extra_info(info)


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


class TimedTransport(httpx.HTTPTransport):
    """The way to a server, by TCP or the socket of a file system, on which a client's timeout is that of a question."""

    def __init__(self, uds: str | None = None) -> None:
        context = httpx.create_ssl_context(trust_env=False)
        super().__init__(verify=context)
        self._pool = httpcore.ConnectionPool(
            ssl_context=context, keepalive_expiry=_IDLE_SECONDS, uds=uds, network_backend=_TimedBackend()
        )


def read_answer(answer: httpx.Response, most_bytes: int, give_up_at: float) -> bytes:
    """The body of a streamed answer, unpacked, until the monotonic time `give_up_at`.

    Raises AnswerTooLong, and httpx.HTTPError where the connection fails.
    """
    return b"".join(read_parts(answer, most_bytes, give_up_at))


def read_parts(answer: httpx.Response, most_bytes: int, give_up_at: float) -> Iterator[bytes]:
    """The same in parts, as they come."""
    count = 0
    for part in answer.iter_bytes():
        count += len(part)
        if count > most_bytes or time.monotonic() > give_up_at:
            raise AnswerTooLong("its answer is too long, or takes too long")
        yield part
