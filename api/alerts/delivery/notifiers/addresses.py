"""Checks of the addresses of receivers: public addresses, and private ones that the administrator has listed."""

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from api.alerts.delivery.notifiers.notifier import AddressRefused
from api.errors import FindingText
from api.util.http.addresses import PrivateAddress, ReachableHosts


class ForbiddenAddress(OSError):
    """The address is private or not routed, and PRIVATE_HOSTS_ALLOWED does not list it."""


class AddressGuard(ReachableHosts):
    """Checks the addresses of channels."""

    def resolve(self, host: str, port: int) -> str:
        """Return an address of a host to which connections are permitted.

        Raises AddressRefused, or OSError if the host has no address.
        """
        try:
            return super().resolve(host, port)
        except PrivateAddress:
            raise AddressRefused(
                FindingText(
                    "address_private",
                    (
                        "leads to a private address; if that is intended, an administrator can list it in "
                        "PRIVATE_HOSTS_ALLOWED"
                    ),
                )
            ) from None


# -- connections that a library opens by itself ------------------------------------------------------------------------


class Watched:
    """The connections of one thread within a `with` block, with a deadline on the monotonic clock."""

    def __init__(self, guard: AddressGuard, host: str, ends_at: float) -> None:
        self.guard = guard
        self.host = host
        self.ends_at = ends_at
        self.sockets: list[socket.socket] = []
        self.was_refused = False  #: it tried to connect to an address that is not permitted

    def permits(self, address: str) -> bool:
        """Return whether the thread may connect to this address."""
        try:
            return self.guard.permits(self.host, address)
        except ValueError:
            # A name instead of an address: its resolver decides later what it means, so it cannot be checked.
            return False

    def end(self) -> None:
        """Shut down every connection, so that blocked reads return."""
        for sock in self.sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class ConnectionWatch:
    """Checks each connection that a library opens by itself, after redirects and name changes, too.

    Python's audit hook sees every connection and cannot be bypassed.
    """

    _installed = threading.Lock()
    _is_installed = False
    _here = threading.local()

    def __init__(self, guard: AddressGuard) -> None:
        self._guard = guard
        self._lock = threading.Lock()
        self._open: set[Watched] = set()

    @contextmanager
    def watching(self, host: str, seconds: float) -> Iterator[Watched]:
        """Let this thread connect only to permitted addresses, for so many seconds in total.

        `host` is the host of the channel's address, which the administrator may have listed.
        """
        self._install()
        watched = Watched(self._guard, host, time.monotonic() + seconds)
        with self._lock:
            self._open.add(watched)
        ConnectionWatch._here.watched = watched
        try:
            yield watched
        finally:
            ConnectionWatch._here.watched = None
            with self._lock:
                self._open.discard(watched)

    def end_overdue(self) -> None:
        """Shut down the connections that are past their deadline. Must be called every second."""
        now = time.monotonic()
        with self._lock:
            overdue = [watched for watched in self._open if watched.ends_at <= now]
        for watched in overdue:
            watched.end()

    @classmethod
    def _install(cls) -> None:
        with cls._installed:
            if not cls._is_installed:
                sys.addaudithook(cls._on_event)
                cls._is_installed = True

    @classmethod
    def _on_event(cls, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "socket.connect":
            return
        watched: Watched | None = getattr(cls._here, "watched", None)
        if watched is None:
            return
        sock, target = arguments
        if not isinstance(target, tuple) or not watched.permits(str(target[0])):
            watched.was_refused = True
            raise ForbiddenAddress("the address is private or not routed")
        watched.sockets.append(sock)
