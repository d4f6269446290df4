"""Faults drawn from a seed: between any two statements, and before and after every call that changes something."""

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event

from api.db.database import Database
from api.db.leadership import Leadership
from api.errors import DatabaseUnavailable
from tests.databases import hurry
from tests.simulation.quick import use_quick_connections
from tests.simulation.world import Broken

#: Code locations without held locks, at which a process may also pause for a while.
_PAUSES = ("submit", "submitted", "observe", "stop", "committed", "send")

#: The prefixes of writing statements, and of those about the leads themselves.
_CHANGES = ("INSERT", "UPDATE", "DELETE")
_OF_LEADS = ("INSERT INTO leadership", "UPDATE leadership")


#: What a simulated fault of the database is raised as.
_SIMULATED = DatabaseUnavailable()


class Crash(BaseException):
    """The server's process ends here, without any cleanup."""


class Faults:
    """The faults of one server. `rate` is the share of locations at which a fault strikes; 0 means none."""

    def __init__(self, chance: random.Random, pause: Callable[[], None] = lambda: None) -> None:
        """Create faults; `pause` lets time pass while all others continue."""
        self._chance = chance
        self._pause = pause
        self.rate = 0.0
        self.loses_an_answer = False  #: the next commit succeeds, but its caller gets an error
        self.should_pause = False  #: pause at the next possible location
        self.pause_at: tuple[str, Callable[[], object]] | None = (
            None  #: pause at this location, once the condition is true
        )
        self.struck: list[str] = []

    def strike(self, place: str, weight: float = 1.0) -> None:
        """Raise Crash or an error, or return late, at random.

        The error is DatabaseUnavailable of the database, or OSError of a machine. `weight` multiplies the probability.
        """
        if place == "committed" and self.loses_an_answer:
            self.loses_an_answer = False
            self.struck.append("an answer is lost")
            raise DatabaseUnavailable
        if place in _PAUSES and (self.should_pause or self._is_time_to_pause(place)):
            self.should_pause, self.pause_at = False, None
            self.struck.append(f"it pauses at {place}")
            self._pause()
        if self.rate == 0.0 or self._chance.random() >= self.rate * weight:
            return
        kind = self._chance.choice(("crash", "error", "pause") if place in _PAUSES else ("crash", "error"))
        self.struck.append(f"{kind} at {place}")
        if kind == "crash":
            raise Crash(place)
        if kind == "pause":
            self._pause()
            return
        if place in ("statement", "committed"):
            raise DatabaseUnavailable
        raise OSError(5, "a simulated fault", place)

    def _is_time_to_pause(self, place: str) -> bool:
        wanted = self.pause_at
        return wanted is not None and wanted[0] == place and bool(wanted[1]())


class FaultyDatabase(Database):
    """One server's connection to the database, which may fail anywhere, or lose the answer to a commit."""

    _first: Engine | None = None  #: its dialect stores every compiled statement

    def __init__(self, url: str, root: Path, faults: Faults) -> None:
        super().__init__(url, root)
        self._faults = faults
        self._lead: Leadership | None = None  #: the lead that current writes belong to
        self._is_changed = False
        self._held: Connection | None = None
        event.listen(self.engine, "before_cursor_execute", lambda _, __, statement, *___: self._before(statement))
        if self.is_sqlite:
            self._share_statements()
        else:
            hurry(self)

    def _share_statements(self) -> None:
        # Thousands of servers are created: compiling their statements again takes longer than running them.
        first = FaultyDatabase._first = FaultyDatabase._first or self.engine
        self.engine.dialect = self.engine.pool._dialect = first.dialect
        self.engine._compiled_cache = first._compiled_cache
        use_quick_connections(self.engine, self._before)

    def _before(self, statement: str) -> None:
        self._faults.strike("statement")
        self._is_changed |= statement.startswith(_CHANGES) and not statement.startswith(_OF_LEADS)

    def read(self) -> AbstractContextManager[Connection]:
        return self._connect("DEFERRED") if self.is_sqlite else super().read()

    @contextmanager
    def _connect(self, mode: str, lock_ms: int | None = None) -> Iterator[Connection]:
        if not self.is_sqlite:
            with super()._connect(mode, lock_ms) as found:
                yield found
            return
        # The pool and its queue are for threads, which do not exist here: they cost more than most statements.
        connection = self._held = self._held or self.engine.connect()
        if connection.in_transaction():
            with super()._connect(mode, lock_ms) as another:
                yield another
            return
        connection.info["begin"] = mode
        with connection.begin():
            yield connection

    def _note_trouble(self, error: DatabaseUnavailable, mode: str) -> None:
        super()._note_trouble(error, mode)
        if error.detail != _SIMULATED.detail:
            # PostgreSQL's own time limits count real seconds, which a busy machine exceeds.
            self._faults.struck.append(f"the database itself fails: {error.detail}")

    def close(self) -> None:
        if self._held is not None:
            self._held.close()
        super().close()

    @contextmanager
    def write(self, is_audited: bool = True) -> Iterator[Connection]:
        with super().write(is_audited) as connection:
            self._is_changed = False
            yield connection
            if self._is_changed and self._lead is not None:
                _check_lead(connection, self._lead, "?" if self.is_sqlite else "%s")
        self._faults.strike("committed")

    @contextmanager
    def writing_for(self, lead: Leadership) -> Iterator[None]:
        """Raise Broken if a write in the `with` block is not the leader's."""
        before, self._lead = self._lead, lead
        try:
            yield
        finally:
            self._lead = before


def _check_lead(connection: Connection, lead: Leadership, mark: str) -> None:
    driver: Any = connection.connection.driver_connection
    mine = lead._scope, lead._fence, lead._holder
    query = f"SELECT count(*) FROM leadership WHERE scope = {mark} AND fence = {mark} AND holder = {mark}"
    if driver.execute(query, mine).fetchone()[0] == 0:
        raise Broken(f"{lead._holder} writes for {lead._scope}, which another server leads")
