import socket
import time

import pytest

from api.alerts.delivery.notifiers.bounded_socket import (
    BoundedReader,
    ResponseTimeout,
    ResponseTooLong,
    WebhookConnection,
)
from tests.unit.alerts.notifiers.receivers import receiving, respond


def test_reader_stops_at_its_deadline():
    one, other = socket.socketpair()
    with one, other:
        reader = BoundedReader(one, time.monotonic() - 1, 100)
        other.sendall(b"x")
        with pytest.raises(ResponseTimeout):
            reader.read(1)


def test_reader_stops_at_its_byte_limit():
    one, other = socket.socketpair()
    with one, other:
        other.sendall(b"x" * 100)
        reader = BoundedReader(one, time.monotonic() + 5, 10)
        assert reader.read(100) == b"x" * 10
        with pytest.raises(ResponseTooLong):
            reader.read(1)


def test_connection_uses_the_address_and_the_host_name():
    with receiving(respond("HTTP/1.1 201 Made\r\nA: b\r\nContent-Length: 2\r\n\r\nok")) as receiver:
        connection = WebhookConnection("hooks.example", receiver.port, "127.0.0.1", None, 1.0, 5.0)
        connection.request("POST", "/x", b"{}", {"Host": "hooks.example"})
        assert connection.read_answer(1000) == (201, {"a": "b", "content-length": "2"}, b"ok")
        connection.close()
    assert b"Host: hooks.example" in receiver.requests[0]


def test_nothing_starts_after_the_deadline():
    connection = WebhookConnection("h", 1, "127.0.0.1", None, 1.0, 0.0)
    with pytest.raises(ResponseTimeout):
        connection.connect()
