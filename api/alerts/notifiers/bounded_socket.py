"""A connection whose answer is bounded: in all its time and bytes, however slowly it comes."""

import io
import socket
import ssl
import time
from http.client import HTTPConnection, HTTPException, HTTPResponse


class TooMuch(OSError):
    """The answer is longer than anybody needs."""


class TooLate(OSError):
    """The answer did not come in time."""


class BoundedReader(io.RawIOBase):
    """Reads a socket until a moment of the monotonic clock, and so many bytes at most."""

    def __init__(self, sock: socket.socket, ends_at: float, most: int) -> None:
        self._socket = sock
        self._ends_at = ends_at
        self._left = most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise TooLate("the answer did not come in time")
        if self._left <= 0:
            raise TooMuch("the answer is too long")
        self._socket.settimeout(left)
        got = self._socket.recv_into(memoryview(buffer)[: min(len(buffer), self._left)])
        self._left -= got
        return got


class _Answering:
    """What HTTPResponse needs of a socket."""

    def __init__(self, reader: BoundedReader) -> None:
        self._reader = reader

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._reader, 4096)


class WebhookConnection(HTTPConnection):
    """HTTP or HTTPS to one address, under the name that was asked for. It follows nothing and asks no proxy."""

    def __init__(
        self, host: str, port: int, address: str, tls: ssl.SSLContext | None, connect_seconds: float, seconds: float
    ) -> None:
        """`seconds` bounds everything together: connecting, sending, and the answer."""
        super().__init__(host, port, timeout=connect_seconds)
        self._address = address
        self._tls = tls
        self._ends_at = time.monotonic() + seconds

    def connect(self) -> None:
        """Connects. Raises OSError."""
        sock = socket.create_connection((self._address, self.port), min(self.timeout or 5.0, self._left()))
        if self._tls is not None:
            try:
                sock = self._tls.wrap_socket(sock, server_hostname=self.host)
            except BaseException:
                sock.close()
                raise
        sock.settimeout(self._left())
        self.sock = sock

    def _left(self) -> float:
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise TooLate("it did not answer in time")
        return left

    def read_answer(self, most: int) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and the beginning of the body: `most` bytes of it all. Raises OSError, HTTPException."""
        self.sock.settimeout(self._left())
        response = HTTPResponse(_Answering(BoundedReader(self.sock, self._ends_at, most)), method="POST")  # type: ignore[arg-type]
        try:
            response.begin()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return response.status, headers, _read_body(response, most)
        finally:
            response.close()


def _read_body(response: HTTPResponse, most: int) -> bytes:
    try:
        return response.read(min(most, 1024))
    except (OSError, ValueError, HTTPException):
        # The status is what counts: it came in time.
        return b""
