"""One cache of compiled statements for every SQLite database of a process.

SQLAlchemy keeps what it compiles by engine and dialect, so that each test, and each server of a simulated hour, would
compile the service's statements anew: a sixth of the processor time of tests that ask a database.
"""

from typing import Any

from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import Engine
from sqlalchemy.util import LRUCache

#: As many as all tests of a process have.
_SIZE = 5_000


def share_compiled_statements() -> None:
    """Has every engine that is made from here on use that one cache."""
    dialect: Any = SQLiteDialect_pysqlite
    # All are of one library, with the same settings.
    dialect.__eq__ = lambda self, other: type(self) is type(other)
    dialect.__hash__ = lambda self: hash(type(self))
    cache, make = LRUCache[Any, Any](_SIZE), Engine.__init__

    def init(self: Any, *given: Any, **named: Any) -> None:
        make(self, *given, **named)
        if type(self.dialect) is dialect:
            self._compiled_cache = cache

    Engine.__init__ = init  # type: ignore[method-assign]
