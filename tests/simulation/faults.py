"""Faults drawn from a seed: between any two statements, and before and after every call that changes something."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event

from api.errors import DatabaseUnavailable
from api.storage.database import Database, sqlite_url


class Crash(BaseException):
    """The server's process ends here, with nothing cleared away."""


class Faults:
    """Those of one server. `rate` is the share of the places at which something happens; 0 while all is well."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.rate = 0.0
        self.loses_an_answer = False  #: the next commit is done, and whoever asked for it hears of an error
        self.told: list[str] = []

    def strike(self, place: str) -> None:
        """Perhaps raises Crash, or an error: of the database DatabaseUnavailable, of the machine OSError."""
        if place == "committed" and self.loses_an_answer:
            self.loses_an_answer = False
            self.told.append("an answer is lost")
            raise DatabaseUnavailable
        if self.rate == 0.0 or self._chance.random() >= self.rate:
            return
        kind = self._chance.choice(("crash", "error"))
        self.told.append(f"{kind} at {place}")
        if kind == "crash":
            raise Crash(place)
        if place in ("statement", "committed"):
            raise DatabaseUnavailable
        raise OSError(5, "a simulated fault", place)


class FaultyDatabase(Database):
    """One server's connection to the database, which may break off anywhere, or lose the answer to a commit."""

    def __init__(self, file: Path, faults: Faults) -> None:
        super().__init__(sqlite_url(file), file.parent)
        self._faults = faults
        event.listen(self.engine, "before_cursor_execute", self._before)

    def _before(self, *_: Any) -> None:
        self._faults.strike("statement")

    @contextmanager
    def write(self, is_audited: bool = True) -> Iterator[Connection]:
        with super().write(is_audited) as connection:
            yield connection
        self._faults.strike("committed")
