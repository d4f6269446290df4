"""PostgreSQL connections with bounded waits.

A frozen server or an unreachable host breaks no connection, and libpq itself has no timeout for responses.
"""

import logging
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import Engine, event
from sqlalchemy.engine import URL, create_engine
from sqlalchemy.exc import InvalidatePoolError

from api.db.database_url import servers_of
from api.util.deadlines import at_most, time_left, within

T = TypeVar("T")

#: Seconds to connect, and seconds for the response to the first statement on a reused connection. A request may need
#: both before its 503, which must be sent within 5 s.
CONNECT_SECONDS = 3
PING_SECONDS = 1.5

#: Seconds added to the server's own timeout of a statement.
GRACE_SECONDS = 0.5

#: Seconds between two checks for a signal while waiting; psycopg's default.
INTERVAL_SECONDS = 0.1

_SILENT = "the server did not answer in time"

#: The key in a connection's info that marks a connection which has answered before.
_ANSWERED = "answered"


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


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is closed if the server does not answer. `begin` starts its transactions."""

    answer_seconds: float | None = None  #: None: no limit
    _is_beginning = False
    _is_unconfirmed = False

    @classmethod
    def _connect_gen(cls, *args: Any, **kwargs: Any) -> Any:
        # psycopg's own `connect_timeout` is at least 2 s.
        gen, left = super()._connect_gen(*args, **kwargs), time_left()
        return gen if left is None else _bounded(gen, left, gen.close)

    def wait_for_answers(self, lock_ms: int | None) -> None:
        """Limit the wait for responses to slightly above `lock_ms`, the server's statement timeout; None: no limit."""
        self.answer_seconds = None if lock_ms is None else lock_ms / 1000 + GRACE_SECONDS

    def wait(self, gen: PQGen[T], interval: float = INTERVAL_SECONDS, timeout: float | None = None) -> T:
        """Wait for a response like psycopg does. Raises psycopg.OperationalError after the limit."""
        seconds = PING_SECONDS if self._is_beginning else self.answer_seconds
        if seconds is None:
            return super().wait(gen, interval, timeout)
        seconds = at_most(seconds)
        give_up_at = time.monotonic() + seconds
        try:
            return super().wait(gen, interval, seconds)
        except psycopg.OperationalError:
            if time.monotonic() < give_up_at:
                raise
            self.pgconn.finish()
            raise psycopg.OperationalError(_SILENT) from None

    def watch_replication(self) -> None:
        """Make `commit` raise if the server stopped waiting for its replica, which it reports as a success."""
        self.add_notice_handler(self._note_unconfirmed)

    def _note_unconfirmed(self, notice: psycopg.errors.Diagnostic) -> None:
        # Identified by PostgreSQL's source function, because the message is in the server's language.
        self._is_unconfirmed |= notice.source_function == "SyncRepWaitForLSN"

    def commit(self) -> None:
        """Commit. Raises psycopg.OperationalError if only this server has the change: a failover would lose it."""
        self._is_unconfirmed = False
        super().commit()
        if self._is_unconfirmed:
            raise psycopg.OperationalError("the replica has not confirmed the change")

    def begin(self, statement: bytes) -> None:
        """Start a transaction that the driver treats as its own. Raises psycopg.Error.

        No lock is needed, so the response is due immediately.
        """
        self._is_beginning = True
        try:
            with self.lock:
                # Like the driver starts its own; a cursor would take three times as long.
                self.wait(self._exec_command(statement))
        finally:
            self._is_beginning = False


def _bounded(gen: Generator[Any, Any, T], seconds: float, give_up: Callable[[], None]) -> Generator[Any, Any, T]:
    """Wrap a generator of a conversation with the server; abort it if the server is silent for `seconds`."""
    give_up_at = time.monotonic() + seconds
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() >= give_up_at:
                give_up()
                raise psycopg.OperationalError(_SILENT)
            wanted = gen.send(ready)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]


def create_postgres_engine(url: URL, lock_ms: int, how_to_begin: Callable[[], bytes], **shared: Any) -> Engine:
    """Create an engine whose statements wait for locks and responses for little longer than `lock_ms`.

    `how_to_begin` returns the statement that starts the caller's transaction. It is sent when a connection is taken
    from the pool, and thereby also tests the connection: a broken one is replaced.
    """
    options = f"-c statement_timeout={lock_ms} -c lock_timeout={lock_ms} -c timezone=UTC"
    # The kernel's limit for sent data that the server does not acknowledge.
    arguments = {"connect_timeout": CONNECT_SECONDS, "options": options, "tcp_user_timeout": lock_ms}
    # A replica would accept the connection and only fail at the first write.
    arguments |= {} if "target_session_attrs" in url.query else {"target_session_attrs": "read-write"}
    engine = create_engine(url, **shared, connect_args=arguments)
    servers = Servers(servers_of(engine.dialect.create_connect_args(url)[1]) or ({},))

    def connect(dialect: Any, record: Any, args: Any, kwargs: Any) -> BoundedConnection:
        if time_left() == 0:
            raise psycopg.OperationalError(_SILENT)
        connection = servers.connect(
            lambda server: BoundedConnection.connect(*args, **kwargs | server), CONNECT_SECONDS
        )
        connection.wait_for_answers(lock_ms)
        connection.watch_replication()
        return connection

    def take(driver: Any, record: Any, fairy: Any) -> None:
        try:
            driver.begin(how_to_begin())
        except psycopg.Error as error:
            if record.info.get(_ANSWERED):
                # The server was probably restarted: SQLAlchemy tries again with a new connection.
                raise InvalidatePoolError(str(error)) from error
            raise
        record.info[_ANSWERED] = True

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "checkout", take)
    return engine
