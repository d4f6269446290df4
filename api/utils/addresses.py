"""To which addresses anything may be sent: public ones, and private ones that the administrator has listed."""

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import replace
from typing import Self

from api.utils.frozen import frozen

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: The well-known prefix by which IPv6 networks translate to IPv4, with 32 bits of the IPv4 address at its end.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
#: The former form of an IPv4 address as an IPv6 one; two of them, :: and ::1, are none.
_COMPATIBLE = ipaddress.ip_network("::/96")
#: Addresses that carry an IPv4 address inside.
_6TO4 = ipaddress.ip_network("2002::/16")
_SHARED = ipaddress.ip_network("100.64.0.0/10")


class PrivateAddress(OSError):
    """This host leads to a private address, and PRIVATE_HOSTS_ALLOWED does not list it."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"{host} leads to a private address; an administrator can list it in PRIVATE_HOSTS_ALLOWED if that is meant"
        )
        self.host = host


@frozen
class ReachableHosts:
    """Decides about addresses. `hosts` (with or without a port) and `networks` are what an administrator has listed."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    @classmethod
    def of(cls, listed: Iterable[str]) -> Self:
        """Those that are public, and these hosts and networks."""
        hosts, networks = set(), []
        for each in listed:
            try:
                networks.append(ipaddress.ip_network(each, strict=False))
            except ValueError:
                hosts.add(each.lower().rstrip("."))
        return cls(frozenset(hosts), tuple(networks))

    def and_host(self, host: str, port: int) -> Self:
        """The same, and one port of a host, whatever its address is."""
        return replace(self, hosts=self.hosts | {_with_port(host.lower().rstrip("."), port)})

    def permits(self, host: str, address: str, port: int | None = None) -> bool:
        """Whether this address of this host may be connected to. Raises ValueError for what is no address."""
        found = embedded(ipaddress.ip_address(address.partition("%")[0]))
        name = host.lower().rstrip(".")
        is_listed = name in self.hosts or _with_port(name, port) in self.hosts
        return is_listed or any(found in network for network in self.networks) or is_public(found)

    def resolve(self, host: str, port: int) -> str:
        """One address of a host that may be connected to, which is asked for once.

        Raises PrivateAddress, or OSError when the host has none.
        """
        bare = host.strip("[]")
        found = [str(info[4][0]) for info in socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM)]
        allowed = [address for address in found if self.permits(bare, address, port)]
        if not allowed:
            raise PrivateAddress(bare[:200])
        return allowed[0]


def _with_port(host: str, port: int | None) -> str:
    """A host and its port; an IPv6 address in brackets, as its last part would be taken for the port."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def embedded(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one that only wraps it; else the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address in _6TO4:
            return ipaddress.IPv4Address((int(address) >> 80) & 0xFFFFFFFF)
    return address


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet."""
    if address.is_multicast or address.is_unspecified or address in _SHARED:
        return False
    return address.is_global
