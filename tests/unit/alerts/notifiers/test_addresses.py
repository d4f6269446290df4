import socket
import time
from ipaddress import ip_address

import pytest

from api.alerts.notifiers.addresses import AddressGuard, ConnectionWatch, ForbiddenAddress
from api.alerts.notifiers.notifier import AddressRefused
from api.util.addresses import embedded, is_public
from tests.patience import BUSY_SECONDS

PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "192.0.2.1",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "fd00:ec2::254",
    "fe80::1%eth0",
    "ff02::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_address_is_rejected_in_every_form(address: str):
    assert not AddressGuard().permits("example.org", address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_public_address_is_permitted(address: str):
    assert AddressGuard().permits("example.org", address)
    assert is_public(embedded(ip_address(address)))


def test_listed_hosts_and_networks_are_permitted():
    guard = AddressGuard.of(["Hooks.Internal", "192.168.1.0/24", "::1"])
    assert guard.permits("hooks.internal.", "10.0.0.1")
    assert guard.permits("anything", "192.168.1.77")
    assert guard.permits("anything", "::ffff:192.168.1.77")
    assert guard.permits("anything", "::1")
    assert not guard.permits("other.internal", "10.0.0.1")


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
