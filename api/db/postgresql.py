"""Connections to PostgreSQL that wait for an answer only so long: a server that is frozen, or a host that has gone
silent, breaks no connection, and libpq itself has no bound.
"""

import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import Engine, event
from sqlalchemy.engine import URL, create_engine
from sqlalchemy.exc import InvalidatePoolError

from api.db.database_url import servers_of
from api.db.postgresql_servers import Servers
from api.util.deadlines import at_most, time_left

T = TypeVar("T")

#: Seconds to connect, and for the answer to the first statement on a connection that is used again: both may come
#: before a caller gets its 503, which is due within 5 s.
CONNECT_SECONDS = 3
PING_SECONDS = 1.5

#: Seconds beyond the server's own bound on a statement.
GRACE_SECONDS = 0.5

#: Seconds between two looks for a signal while an answer is waited for; psycopg's own choice.
INTERVAL_SECONDS = 0.1

_SILENT = "the server has not answered in time"

#: In a connection's info: it has answered before.
_ANSWERED = "answered"


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is closed when the server does not answer. Its transactions are begun by `begin`."""

    answer_seconds: float | None = None  #: None waits for ever
    _is_beginning = False
    _is_unconfirmed = False

    @classmethod
    def _connect_gen(cls, *args: Any, **kwargs: Any) -> Any:
        # The public bound, `connect_timeout`, knows no less than 2 s.
        gen, left = super()._connect_gen(*args, **kwargs), time_left()
        return gen if left is None else _bounded(gen, left, gen.close)

    def wait_for_answers(self, lock_ms: int | None) -> None:
        """Bounds the wait for answers, a little above `lock_ms`, the server's bound on a statement; None: none."""
        self.answer_seconds = None if lock_ms is None else lock_ms / 1000 + GRACE_SECONDS

    def wait(self, gen: PQGen[T], interval: float = INTERVAL_SECONDS, timeout: float | None = None) -> T:
        """Waits for an answer as psycopg does. Raises psycopg.OperationalError when the bound is over."""
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
        """Has `commit` raise where the server gave up the wait for its replica: it calls that a success."""
        self.add_notice_handler(self._note_unconfirmed)

    def _note_unconfirmed(self, notice: psycopg.errors.Diagnostic) -> None:
        # By the place in PostgreSQL that says so: the words are in the server's language.
        self._is_unconfirmed |= notice.source_function == "SyncRepWaitForLSN"

    def commit(self) -> None:
        """Commits. Raises psycopg.OperationalError when only this server has the change: a failover would lose it."""
        self._is_unconfirmed = False
        super().commit()
        if self._is_unconfirmed:
            raise psycopg.OperationalError("the replica has not confirmed the change")

    def begin(self, statement: bytes) -> None:
        """Begins a transaction, which the driver then takes for one of its own. No lock is waited for, so that the
        answer is due at once. Raises psycopg.Error.
        """
        self._is_beginning = True
        try:
            with self.lock:
                # As the driver begins its own: through a cursor it takes three times as long.
                self.wait(self._exec_command(statement))
        finally:
            self._is_beginning = False


def _bounded(gen: Generator[Any, Any, T], seconds: float, give_up: Callable[[], None]) -> Generator[Any, Any, T]:
    """The generator of a conversation with the server, given up when the server says nothing for so long."""
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
    """An engine whose statements wait for a lock, and for an answer, no longer than `lock_ms` and a little.

    `how_to_begin` gives the statement that begins the caller's transaction. It is sent when a connection is taken, and
    so tells as well whether the connection is still one: another one is made where it is not.
    """
    options = f"-c statement_timeout={lock_ms} -c lock_timeout={lock_ms} -c timezone=UTC"
    # The network's own bound, for what is sent and not even received.
    arguments = {"connect_timeout": CONNECT_SECONDS, "options": options, "tcp_user_timeout": lock_ms}
    # A replica answers, too, and would be found out only by the first change.
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
                # The server was restarted meanwhile, most likely: SQLAlchemy tries again with a new connection.
                raise InvalidatePoolError(str(error)) from error
            raise
        record.info[_ANSWERED] = True

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "checkout", take)
    return engine
