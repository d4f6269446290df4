import socket
import time

import pytest

from api.alerts.notifiers.bounded_socket import BoundedReader, TooLate, TooMuch, WebhookConnection
from tests.unit.alerts.notifiers.receivers import receiving, say


def test_a_reader_ends_by_its_time_however_much_comes():
    one, other = socket.socketpair()
    with one, other:
        reader = BoundedReader(one, time.monotonic() - 1, 100)
        other.sendall(b"x")
        with pytest.raises(TooLate):
            reader.read(1)


def test_a_reader_ends_by_its_bytes():
    one, other = socket.socketpair()
    with one, other:
        other.sendall(b"x" * 100)
        reader = BoundedReader(one, time.monotonic() + 5, 10)
        assert reader.read(100) == b"x" * 10
        with pytest.raises(TooMuch):
            reader.read(1)


def test_a_connection_goes_to_the_address_under_the_name():
    with receiving(say("HTTP/1.1 201 Made\r\nA: b\r\nContent-Length: 2\r\n\r\nok")) as receiver:
        connection = WebhookConnection("hooks.example", receiver.port, "127.0.0.1", None, 1.0, 5.0)
        connection.request("POST", "/x", b"{}", {"Host": "hooks.example"})
        assert connection.read_answer(1000) == (201, {"a": "b", "content-length": "2"}, b"ok")
        connection.close()
    assert b"Host: hooks.example" in receiver.requests[0]


def test_nothing_begins_when_its_time_is_over():
    connection = WebhookConnection("h", 1, "127.0.0.1", None, 1.0, 0.0)
    with pytest.raises(TooLate):
        connection.connect()
