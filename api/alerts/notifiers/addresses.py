"""To which addresses messages may be sent: public ones, and private ones that the administrator has listed."""

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from api.alerts.notifiers.notifier import AddressRefused
from api.util.addresses import PrivateAddress, ReachableHosts


class ForbiddenAddress(OSError):
    """This address is private or not routed, and PRIVATE_HOSTS_ALLOWED does not list it."""


class AddressGuard(ReachableHosts):
    """Decides about the addresses that are written into channels."""

    def resolve(self, host: str, port: int) -> str:
        """One address of a host that may be connected to. Raises AddressRefused, or OSError when it has none."""
        try:
            return super().resolve(host, port)
        except PrivateAddress:
            raise AddressRefused(
                "leads to a private address; an administrator can list it in PRIVATE_HOSTS_ALLOWED if that is meant"
            ) from None


# -- connections that a library makes by itself ------------------------------------------------------------------------


class Watched:
    """The connections of one thread within a `with` block, which end at a moment of the monotonic clock."""

    def __init__(self, guard: AddressGuard, host: str, ends_at: float) -> None:
        self.guard = guard
        self.host = host
        self.ends_at = ends_at
        self.sockets: list[socket.socket] = []
        self.was_refused = False  #: it wanted to connect to an address that is not permitted

    def permits(self, address: str) -> bool:
        """Whether it may connect to this address."""
        try:
            return self.guard.permits(self.host, address)
        except ValueError:
            # A name instead of an address: what it means is decided by whoever resolves it, and so not known.
            return False

    def end(self) -> None:
        """Ends every connection, so that whoever reads from one comes back."""
        for sock in self.sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class ConnectionWatch:
    """Looks at each connection of a library that makes them itself: after whatever redirect, to whatever a name means
    by then. Python's audit hook sees all of them, and cannot be gone around.
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
        """Lets this thread connect to permitted addresses only, for so many seconds in all. `host` is the one that was
        asked for, which may be listed.
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
        """Ends the connections whose time is over; somebody calls it every second."""
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
