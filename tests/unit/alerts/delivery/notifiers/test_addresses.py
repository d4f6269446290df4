"""Addresses of receivers; tests/unit/util/http/test_addresses.py has those that are permitted."""

import socket
import time

import pytest

from api.alerts.delivery.notifiers.addresses import AddressGuard, ConnectionWatch, ForbiddenAddress
from api.alerts.delivery.notifiers.notifier import AddressRefused
from tests.patience import BUSY_SECONDS


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0x7f.1", "2130706433", "127.1", "0177.0.0.1"])
def test_no_spelling_of_loopback_is_resolved(host: str):
    with pytest.raises((AddressRefused, OSError)):
        AddressGuard().resolve(host, 80)


def test_listed_host_is_resolved():
    assert AddressGuard.of(["127.0.0.0/8"]).resolve("localhost", 80).startswith("127.")


def test_watched_thread_connects_only_to_permitted_addresses():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        watch = ConnectionWatch(AddressGuard())
        with watch.watching("example.org", 5) as watched, pytest.raises(ForbiddenAddress):
            socket.create_connection(address, 1)
        assert watched.was_refused
        with ConnectionWatch(AddressGuard.of(["127.0.0.1"])).watching("example.org", 5):
            socket.create_connection(address, 1).close()
        socket.create_connection(address, 1).close()


def test_other_families_and_names_are_rejected_in_a_watched_thread():
    watching = ConnectionWatch(AddressGuard()).watching("example.org", 5)
    with watching, socket.socket(socket.AF_UNIX) as sock, pytest.raises(ForbiddenAddress):
        sock.connect("/run/nothing.sock")


def test_overdue_connection_is_ended():
    watch = ConnectionWatch(AddressGuard.of(["127.0.0.1"]))
    with socket.create_server(("127.0.0.1", 0)) as server, watch.watching("127.0.0.1", 0.0):
        sock = socket.create_connection(server.getsockname(), 1)
        began = time.monotonic()
        watch.end_overdue()
        assert sock.recv(1) == b""
        assert time.monotonic() - began < 1 + BUSY_SECONDS
        sock.close()
