"""An HTTP connection whose response is bounded in total time and bytes, however slowly it arrives."""

import io
import socket
import ssl
import time
from http.client import HTTPConnection, HTTPException, HTTPResponse


class ResponseTooLong(OSError):
    """The response is too long."""


class ResponseTimeout(OSError):
    """The response did not arrive in time."""


class BoundedReader(io.RawIOBase):
    """Reads a socket until a deadline on the monotonic clock, and at most so many bytes."""

    def __init__(self, sock: socket.socket, ends_at: float, most: int) -> None:
        self._socket = sock
        self._ends_at = ends_at
        self._left = most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise ResponseTimeout("the response did not arrive in time")
        if self._left <= 0:
            raise ResponseTooLong("the response is too long")
        self._socket.settimeout(left)
        got = self._socket.recv_into(memoryview(buffer)[: min(len(buffer), self._left)])
        self._left -= got
        return got


class _ResponseSocket:
    """The part of a socket that HTTPResponse uses."""

    def __init__(self, reader: BoundedReader) -> None:
        self._reader = reader

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._reader, 4096)


class WebhookConnection(HTTPConnection):
    """HTTP or HTTPS to one address, under the requested host name. It follows no redirect and uses no proxy."""

    def __init__(
        self, host: str, port: int, address: str, tls: ssl.SSLContext | None, connect_seconds: float, seconds: float
    ) -> None:
        """Create the connection. `seconds` limits the total time of connecting, sending and the response."""
        super().__init__(host, port, timeout=connect_seconds)
        self._address = address
        self._tls = tls
        self._ends_at = time.monotonic() + seconds

    def connect(self) -> None:
        """Connect. Raises OSError."""
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
            raise ResponseTimeout("it did not respond in time")
        return left

    def read_answer(self, most: int) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and the beginning of the body, reading at most `most` bytes.

        Raises OSError, HTTPException.
        """
        self.sock.settimeout(self._left())
        response = HTTPResponse(_ResponseSocket(BoundedReader(self.sock, self._ends_at, most)), method="POST")  # type: ignore[arg-type]
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
        # Only the status matters, and it arrived in time.
        return b""
