"""One cache of compiled statements for every SQLite database of a process.

SQLAlchemy caches compiled statements by engine and dialect. Each test, and each server of a simulated hour, would
compile the service's statements again: a sixth of the processor time of tests that use a database.
"""

from typing import Any

from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import Engine
from sqlalchemy.util import LRUCache

#: The number of statements of all tests of a process.
_SIZE = 5_000


def share_compiled_statements() -> None:
    """Make every engine created from now on use that one cache."""
    dialect: Any = SQLiteDialect_pysqlite
    # All engines are of one library, with the same settings.
    dialect.__eq__ = lambda self, other: type(self) is type(other)
    dialect.__hash__ = lambda self: hash(type(self))
    cache, make = LRUCache[Any, Any](_SIZE), Engine.__init__

    def init(self: Any, *given: Any, **named: Any) -> None:
        make(self, *given, **named)
        if type(self.dialect) is dialect:
            self._compiled_cache = cache

    Engine.__init__ = init  # type: ignore[method-assign]
