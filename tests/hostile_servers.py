"""Servers on this machine with malformed or malicious HTTP responses."""

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Answer = Callable[[socket.socket, bytes], object]  #: called with the peer and its request

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def send_700_mb(peer: socket.socket, _: bytes) -> None:
    peer.sendall(_HEAD + b"Content-Length: 734003200\r\n\r\n")
    for _ in range(700):
        peer.sendall(b" " * 2**20)


def send_bomb(peer: socket.socket, _: bytes) -> None:
    packed = gzip.compress(bytes(2**26))
    peer.sendall(_HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed)


def drip_body(peer: socket.socket, _: bytes) -> None:
    peer.sendall(_HEAD + b"Content-Length: 100000\r\n\r\n")
    _drip(peer, b" ")


def drip_headers(peer: socket.socket, _: bytes) -> None:
    peer.sendall(_HEAD)
    _drip(peer, b"X")


def send_endless_headers(peer: socket.socket, _: bytes) -> None:
    peer.sendall(_HEAD)
    while True:
        peer.sendall(b"X-Filler: " + b"x" * 1000 + b"\r\n")


def send_endless_interim_answers(peer: socket.socket, _: bytes) -> None:
    while True:
        peer.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)


def redirect_for_ever(peer: socket.socket, _: bytes) -> None:
    peer.sendall(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")


HOSTILE = [
    send_700_mb,
    send_bomb,
    drip_body,
    drip_headers,
    send_endless_headers,
    send_endless_interim_answers,
    redirect_for_ever,
]


def _drip(peer: socket.socket, byte: bytes) -> None:
    for _ in range(600):
        peer.sendall(byte)
        time.sleep(0.05)


def _read(peer: socket.socket) -> bytes:
    """Return a request with its body, as long as its headers state."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += peer.recv(65_536)
    head, _, body = request.partition(b"\r\n\r\n")
    lengths = [int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length:")]
    while len(body) < sum(lengths):
        body += peer.recv(65_536)
    return head + b"\r\n\r\n" + body


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """Answer every request with this function, and yield the address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take(peer: socket.socket) -> None:
            with peer, suppress(OSError):
                answer(peer, _read(peer))

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=take, args=server.accept()[:1], daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)
