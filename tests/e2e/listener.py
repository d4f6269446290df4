"""Reader of Server-Sent Events that reconnects as a client does."""

import socket
import threading
from contextlib import suppress
from typing import Any, Protocol

import orjson

from tests.nginx_servers import NAME, OwnNginx


class Listening(Protocol):
    """A server that listens on a port of loopback."""

    port: int


class Listener:
    """Reads a stream of Server-Sent Events in its own thread, and continues at its position after a disconnection."""

    _http = "1.1"

    def __init__(self, server: Listening, path: str, key: str | None = None) -> None:
        self.messages: list[dict[str, Any]] = []
        self.names: list[str] = []
        self.last_id: str | None = None
        self._server = server
        self._path = path
        self._key = "" if key is None else f"Authorization: Bearer {key}\r\n"
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Listener":
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def open(self, server: Listening | None = None) -> None:
        self._server = server or self._server
        self._socket = self._connect()
        again = "" if self.last_id is None else f"Last-Event-ID: {self.last_id}\r\n"
        self._socket.sendall(
            f"GET {self._path} HTTP/{self._http}\r\nHost: localhost\r\n{self._key}{again}\r\n".encode()
        )
        self._thread = threading.Thread(target=self._read, args=(self._socket,))
        self._thread.start()

    def _connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._server.port), timeout=60)

    def cut(self) -> None:
        if self._socket is not None and self._thread is not None:
            with suppress(OSError):
                # The shutdown of a TLS socket would let the reading thread continue with encrypted bytes.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
            self._thread.join(10)
            self._socket.close()
            self._socket = None

    def _read(self, sock: socket.socket) -> None:
        try:
            with sock.makefile("rb") as lines:
                for line in lines:
                    if not line.endswith(b"\n"):
                        return  # the event is incomplete
                    name, _, value = line.rstrip(b"\n").partition(b": ")
                    if name == b"event":
                        self.names.append(value.decode())
                    elif name == b"id":
                        self.last_id = value.decode()
                    elif name == b"data":
                        self.messages.append(orjson.loads(value))
        except OSError:
            return

    def of(self, *types: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] in types]

    @property
    def is_over(self) -> bool:
        return self._thread is not None and not self._thread.is_alive()


class SecureListener(Listener):
    """The same through nginx, by TLS. HTTP/1.0 avoids nginx's chunked encoding."""

    _http = "1.0"

    def __init__(self, nginx: OwnNginx, path: str, key: str | None = None) -> None:
        super().__init__(nginx, path, key)
        self._trust = nginx.trust

    def _connect(self) -> socket.socket:
        return self._trust.wrap_socket(super()._connect(), server_hostname=NAME)


def event_ids(listener: Listener) -> list[int]:
    return [message["data"]["event"]["id"] for message in listener.of("status")]


def expect_none_missing(listener: Listener, known: list[int]) -> None:
    """Assert that the listener has each event of its task once, from its start or last position.

    The first event is that of the present status; earlier events may have come before it.
    """
    first, *later = event_ids(listener)
    assert first in known
    assert later == (known[-len(later) :] if later else [])


def logged(listener: Listener) -> list[int]:
    return [line["line_number"] for message in listener.of("log") for line in message["data"]["logs"]]
