"""Connections to PostgreSQL that wait for an answer only so long: a server that is frozen, or a host that has gone
silent, breaks no connection, and libpq itself has no bound.
"""

import time
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import Engine, event
from sqlalchemy.engine import URL, create_engine

T = TypeVar("T")

#: Seconds to connect, and for the answer to SQLAlchemy's ping before a connection is used again: both may come before
#: a caller gets its 503, which is due within 5 s.
CONNECT_SECONDS = 3
PING_SECONDS = 1.5

#: Seconds beyond the server's own bound on a statement.
GRACE_SECONDS = 0.5


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is closed when the server does not answer."""

    answer_seconds: float | None = None  #: None waits for ever

    def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:
        """Raises psycopg.OperationalError when the time is over."""
        # Only the ping comes with autocommit: the engine begins a transaction for everything else.
        seconds = PING_SECONDS if self.autocommit else self.answer_seconds
        return super().wait(gen if seconds is None else self._bounded(gen, seconds), *args, **kwargs)

    def _bounded(self, gen: PQGen[T], seconds: float) -> PQGen[T]:
        give_up_at = time.monotonic() + seconds
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() >= give_up_at:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"the server has not answered for {seconds:g} s")
                wanted = gen.send(ready)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]


def create_postgres_engine(url: URL, lock_ms: int, **shared: Any) -> Engine:
    """An engine whose statements wait for a lock, and for an answer, no longer than `lock_ms` and a little."""
    options = f"-c statement_timeout={lock_ms} -c lock_timeout={lock_ms} -c timezone=UTC"
    # The network's own bound, for what is sent and not even received.
    arguments = {"connect_timeout": CONNECT_SECONDS, "options": options, "tcp_user_timeout": lock_ms}
    engine = create_engine(url, **shared, pool_pre_ping=True, connect_args=arguments)

    def connect(dialect: Any, record: Any, args: Any, kwargs: Any) -> BoundedConnection:
        connection = BoundedConnection.connect(*args, **kwargs)
        wait_for_answers(connection, lock_ms)
        return connection

    event.listen(engine, "do_connect", connect)
    return engine


def wait_for_answers(connection: BoundedConnection, lock_ms: int | None) -> None:
    """Sets the bound for answers by the server's own bound on a statement; None waits for ever."""
    connection.answer_seconds = None if lock_ms is None else lock_ms / 1000 + GRACE_SECONDS
