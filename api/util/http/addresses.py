"""Decide to which addresses the service may connect: public ones, and private ones that administrators have listed."""

import ipaddress
import socket
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: The well-known prefix by which IPv6 networks translate to IPv4, with 32 bits of the IPv4 address at its end.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
#: The deprecated form of an IPv4 address as IPv6. Two addresses of this range, :: and ::1, are none.
_COMPATIBLE = ipaddress.ip_network("::/96")
#: Addresses that contain an IPv4 address.
_6TO4 = ipaddress.ip_network("2002::/16")
#: The part of IPv6 that is assigned as public unicast (RFC 4291, IANA). Every other block is special or unassigned: the
#: former site-local fec0::/10, segment identifiers 5f00::/16, the local NAT64 prefix.
_PUBLIC_IPV6 = ipaddress.ip_network("2000::/3")
#: Addresses within the public ranges that lead to a local network or nowhere: shared by carriers; IETF protocol
#: assignments, which include Teredo and Oracle's metadata service; relays of 6to4; the host agent of Azure.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(each)
    for each in ("100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "2001::/23", "3fff::/20")
)
#: Names of this machine that need no name server (RFC 6761), and those in Debian's /etc/hosts.
_LOCAL_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"})


class PrivateAddress(OSError):
    """The host has a private address, and PRIVATE_HOSTS_ALLOWED does not list it."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"{host} leads to a private address; "
            "if that is intended, an administrator can list it in PRIVATE_HOSTS_ALLOWED"
        )
        self.host = host


@dataclass(frozen=True, slots=True)
class ReachableHosts:
    """The permitted addresses. `hosts` (with or without a port) and `networks` are listed by an administrator."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    @classmethod
    def of(cls, listed: Iterable[str]) -> Self:
        """Return the public addresses and these hosts and networks."""
        hosts, networks = set(), []
        for each in listed:
            try:
                networks.append(ipaddress.ip_network(each, strict=False))
            except ValueError:
                hosts.add(each.lower().rstrip("."))
        return cls(frozenset(hosts), tuple(networks))

    def and_host(self, host: str, port: int) -> Self:
        """Return a copy that also permits one port of a host, whatever its address."""
        return replace(self, hosts=self.hosts | {_with_port(host.lower().rstrip("."), port)})

    def permits(self, host: str, address: str, port: int | None = None) -> bool:
        """Return whether connections to this address of this host are permitted.

        Raises ValueError if the text is not an address.
        """
        found = embedded(ipaddress.ip_address(address.partition("%")[0]))
        name = host.lower().rstrip(".")
        is_listed = name in self.hosts or _with_port(name, port) in self.hosts
        return is_listed or any(found in network for network in self.networks) or is_public(found)

    def require_literal(self, host: str, port: int) -> None:
        """Check a host that is written as an address or means this machine; any other name passes.

        Raises PrivateAddress.
        """
        found = read_literal(host)
        if found is not None and not self.permits(host.strip("[]"), str(found), port):
            raise PrivateAddress(host[:200])

    def resolve(self, host: str, port: int) -> str:
        """Resolve a host once, and return an address to which connections are permitted.

        Raises PrivateAddress, or OSError if the host has no address.
        """
        bare = host.strip("[]")
        found = [str(info[4][0]) for info in socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM)]
        allowed = [address for address in found if self.permits(bare, address, port)]
        if not allowed:
            raise PrivateAddress(bare[:200])
        return allowed[0]


def _with_port(host: str, port: int | None) -> str:
    """Return a host and its port. An IPv6 address is put in brackets, since its last part looks like a port."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def embedded(address: Address) -> Address:
    """Return the IPv4 address inside an IPv6 address that only wraps it; else the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address in _6TO4:
            return ipaddress.IPv4Address((int(address) >> 80) & 0xFFFFFFFF)
    return address


def is_public(address: Address) -> bool:
    """Return whether an address belongs to the public internet. Only assigned public ranges do."""
    if isinstance(address, ipaddress.IPv6Address) and address not in _PUBLIC_IPV6:
        return False
    if address.is_multicast or any(address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global


def read_literal(host: str) -> Address | None:
    """Return the address that a host name spells, or None for a name that needs a name server.

    IPv4 is read as the C library does: 127.1, 0x7f000001, 017700000001 and 2130706433 are 127.0.0.1.
    """
    bare = unicodedata.normalize("NFKC", host).replace("\u3002", ".").strip("[]").rstrip(".").partition("%")[0].lower()
    if bare in _LOCAL_NAMES or bare.endswith(".localhost"):
        return ipaddress.IPv4Address("127.0.0.1")
    try:
        return ipaddress.ip_address(bare)
    except ValueError:
        pass
    try:
        # inet_aton ignores everything after a space.
        return None if not bare or " " in bare else ipaddress.IPv4Address(socket.inet_aton(bare))
    except (OSError, ValueError):
        return None
