"""HTTP that connects to permitted addresses only: each host is resolved once, and that very address is connected to."""

from collections.abc import Iterable

import httpcore
import httpx

from api.utils.addresses import ReachableHosts

#: Seconds that connecting and a silence may take.
CONNECT_SECONDS, SILENCE_SECONDS = 20.0, 60.0

#: Redirects that are followed, each to an address that is looked at again.
_MOST_REDIRECTS = 8


class _GuardedBackend(httpcore.NetworkBackend):
    """Connects where the guard lets it; the name stays that of the host, by which its certificate is checked."""

    def __init__(self, hosts: ReachableHosts) -> None:
        self._hosts = hosts
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        address = self._hosts.resolve(host, port)
        return self._plain.connect_tcp(address, port, timeout, local_address, socket_options)


class _GuardedTransport(httpx.HTTPTransport):
    def __init__(self, hosts: ReachableHosts) -> None:
        super().__init__()
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(), network_backend=_GuardedBackend(hosts), http1=True
        )


def open_client(hosts: ReachableHosts, kind: type[httpx.Client] = httpx.Client) -> httpx.Client:
    """A client that follows redirects, and takes neither proxies nor keys from the environment.

    A key that is sent to one host is left out when a redirect leads to another.
    """
    return kind(
        transport=_GuardedTransport(hosts),
        follow_redirects=True,
        max_redirects=_MOST_REDIRECTS,
        trust_env=False,
        timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
        headers={"User-Agent": "diffusion-pipe-api", "Accept-Encoding": "identity"},
    )
