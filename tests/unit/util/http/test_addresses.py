import socket
from ipaddress import ip_address

import pytest

from api.util.http.addresses import PrivateAddress, ReachableHosts, embedded, is_public

PRIVATE = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "224.0.0.1", "255.255.255.255", "192.0.2.1", "::1", "::", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
    "2002:7f00:1::", "fd00:ec2::254", "fe80::1%eth0", "ff02::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_private_address_is_rejected_in_every_form(address: str):
    assert not ReachableHosts().permits("example.org", address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_public_address_is_permitted(address: str):
    assert ReachableHosts().permits("example.org", address)
    assert is_public(embedded(ip_address(address)))


def test_only_listed_private_addresses_are_permitted():
    hosts = ReachableHosts.of(["hub.Local.", "other.local:81", "10.1.0.0/16", "::1"])
    assert hosts.permits("any", "::ffff:10.1.2.3")
    assert hosts.permits("any", "::1")
    assert hosts.permits("hub.local", "10.0.0.1", 80)
    assert hosts.permits("other.local", "10.0.0.1", 81)
    assert not hosts.permits("other.local", "10.0.0.1", 80)
    assert hosts.permits("any", "10.1.2.3", 1)
    assert not hosts.permits("any", "10.2.2.3", 1)


def test_host_is_resolved_to_a_permitted_address(monkeypatch: pytest.MonkeyPatch):
    def answer(*addresses: str):
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    answer("127.0.0.1", "8.8.8.8")
    assert ReachableHosts().resolve("two.example", 80) == "8.8.8.8"
    answer("127.0.0.1", "10.0.0.1")
    with pytest.raises(PrivateAddress):
        ReachableHosts().resolve("two.example", 80)


def test_one_port_of_a_host_is_permitted_whatever_its_address_is():
    hosts = ReachableHosts.of([]).and_host("::1", 8080).and_host("Hub.Home.", 80)
    assert hosts.permits("::1", "::1", 8080)
    assert hosts.permits("hub.home", "192.168.1.2", 80)
    assert not hosts.permits("::1", "::1", 22)
    assert not hosts.permits("fd00::1", "fd00::1", 8080)


@pytest.mark.parametrize("address", ["::127.0.0.1", "::10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "::1"])
def test_private_address_in_another_form_is_private(address: str):
    assert not ReachableHosts.of([]).permits("h", address, 80)


@pytest.mark.parametrize(
    "address",
    [
        "fec0::1", "feff::1", "5f00::1", "64:ff9b:1::7f00:1", "2001::1", "2001:0:7f00:1::", "2001:20::1", "2001:30::1",
        "2001:db8::1", "3fff::1", "100::1", "100:0:0:1::1", "::ffff:0:10.0.0.1", "4000::1", "e000::1", "fc00::1",
        "2002:a00:1::1", "2002:c0a8:101::1", "64:ff9b::a9fe:a9fe", "192.0.0.192", "192.88.99.1", "168.63.129.16",
        "::ffff:168.63.129.16", "100.100.100.200",
    ],
)  # fmt: skip
def test_only_assigned_public_ranges_are_public(address: str):
    assert not ReachableHosts().permits("example.org", address)


@pytest.mark.parametrize(
    "address", ["2a00:1450::1", "2400:cb00::1", "2001:4860:4860::8888", "64:ff9b::808:808", "1.1.1.1"]
)
def test_public_addresses_of_every_region_stay_public(address: str):
    assert ReachableHosts().permits("example.org", address)


LITERALS = [
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "017700000001", "0177.0.0.1", "0", "10.1", "[::1]",
    "[::ffff:7f00:1]", "[fec0::1]", "[fe80::1%25eth0]", "localhost", "LOCALHOST.", "a.localhost", "ip6-loopback",
    "169.254.169.254", "127\u30020\u30020\u30021", "\uff11\uff12\uff17.0.0.1", "127.0.0.1.",
]  # fmt: skip


@pytest.mark.parametrize("host", LITERALS)
def test_private_literal_is_recognised_without_a_name_server(host: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("a name server was queried"))
    with pytest.raises(PrivateAddress):
        ReachableHosts().require_literal(host, 80)


@pytest.mark.parametrize(
    "host", ["example.org", "8.8.8.8", "134744072", "[2606:4700::1111]", "localhost.example", "a b"]
)
def test_public_literal_and_ordinary_name_pass(host: str):
    ReachableHosts().require_literal(host, 80)


def test_listed_literal_passes():
    ReachableHosts.of(["127.0.0.0/8"]).require_literal("0x7f000001", 80)
    ReachableHosts.of(["localhost:81"]).require_literal("localhost", 81)
