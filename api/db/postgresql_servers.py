"""Several PostgreSQL servers of which one is the primary; the primary is found again after a failover."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import psycopg

from api.util.deadlines import at_most, within

logger = logging.getLogger(__name__)

Connection = TypeVar("Connection")


class Servers:
    """Tries the servers in turn, starting with the one that last accepted a connection."""

    def __init__(self, servers: Sequence[Mapping[str, str]]) -> None:
        self._servers = list(servers)
        self._lock = threading.Lock()

    def connect(self, connect: Callable[[Mapping[str, str]], Connection], seconds: float) -> Connection:
        """Return a connection to the first server that accepts one within its share of these seconds.

        Raises psycopg.OperationalError with the errors of all servers.
        """
        with self._lock:
            servers = list(self._servers)
        if len(servers) == 1:
            return connect(servers[0])
        problems = []
        with within(seconds):
            for left, server in zip(range(len(servers), 0, -1), servers, strict=True):
                try:
                    # So that a silent server leaves time for the others.
                    with within(at_most(seconds) / left):
                        connection = connect(server)
                except psycopg.OperationalError as error:
                    problems.append(f"{_name(server)}: {_first_line(error)}")
                else:
                    self._prefer(server)
                    return connection
        # The first one may have been silent and used up an urgent caller's time.
        self._put_last(servers[0])
        raise psycopg.OperationalError("; ".join(problems))

    def _prefer(self, server: Mapping[str, str]) -> None:
        with self._lock:
            before = self._servers[0]
            if server is before:
                return
            self._servers.remove(server)
            self._servers.insert(0, server)
        logger.warning("connected to another database server, the new primary", extra={"database": _name(server)})

    def _put_last(self, server: Mapping[str, str]) -> None:
        with self._lock:
            if self._servers[0] is server:
                self._servers.append(self._servers.pop(0))


def _name(server: Mapping[str, Any]) -> str:
    return f"{server['host']}:{server['port']}" if server["port"] else server["host"]


def _first_line(error: Exception) -> str:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    # The text before it repeats the server's address.
    return first.rpartition(" failed: ")[2]
