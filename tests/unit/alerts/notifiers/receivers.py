"""Receivers on loopback, honest and hostile, for tests of notifiers."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from api.alerts.delivery.notifiers.notifier import OutboundMessage
from api.domain.alerts.channel import AlertSnapshot
from api.domain.machines.gpu_event import Severity

Answer = Callable[[socket.socket], None]


def message(*alerts: AlertSnapshot, title: str = "[W] hot: GPU 0", body: str = "it is hot") -> OutboundMessage:
    return OutboundMessage(
        id="delivery_1",
        title=title,
        body=body,
        severity=Severity.WARNING,
        is_resolved=False,
        alerts=alerts,
        total=len(alerts),
        group_key="g",
        channel_name="hook",
        sent_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


@dataclass
class Receiver:
    """The requests that arrived, and the address of the receiver."""

    port: int
    requests: list[bytes] = field(default_factory=list)


def respond(text: str) -> Answer:
    """Return a handler that sends this text immediately."""
    return lambda peer: peer.sendall(text.encode())


def status(line: str, *headers: str) -> Answer:
    return respond("\r\n".join([f"HTTP/1.1 {line}", *headers, "Content-Length: 0", "", ""]))


@contextmanager
def receiving(answer: Answer) -> Iterator[Receiver]:
    """Run a receiver that reads one request at a time and responds with the handler."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        receiver = Receiver(server.getsockname()[1])

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    peer, _ = server.accept()
                    with peer, contextlib.suppress(OSError):
                        peer.settimeout(5)
                        receiver.requests.append(_read(peer))
                        answer(peer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield receiver
        # Wakes the thread that waits for a peer.
        server.shutdown(socket.SHUT_RDWR)
    thread.join(6)


def _read(peer: socket.socket) -> bytes:
    got = b""
    while b"\r\n\r\n" not in got:
        got += peer.recv(65_536)
    head, _, body = got.partition(b"\r\n\r\n")
    lengths = (line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    length = int(next(lengths, b"0"))
    while len(body) < length:
        body += peer.recv(65_536)
    return head + b"\r\n\r\n" + body
