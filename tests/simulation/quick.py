"""A connection that caches SQLAlchemy's work for a statement: the SQL, its parameters, and how rows are read.

The play executes ten thousand statements an hour, most of them constants of the service. SQLAlchemy looks each up by
its structure, and wraps the driver for features of other databases, which takes ten times as long as SQLite itself.
"""

import sqlite3
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData

#: Called with each statement before it is executed.
Before = Callable[[str], None]


class QuickResult(IteratorResult[Any]):
    """Rows that are already fetched, or none."""

    rowcount = -1


class QuickConnection(Connection):
    """Executes a repeated simple statement itself, and everything else as usual."""

    def _execute_clauseelement(self, elem: Any, distilled_parameters: Any, execution_options: Any) -> Any:
        if self._transaction is not None:
            values = distilled_parameters or _NO_VALUES
            prepared = _prepare(elem, values[0], self)
            if prepared is not None and (len(values) == 1 or prepared.takes_many):
                return self._execute_prepared(prepared, values)
        return super()._execute_clauseelement(elem, distilled_parameters, execution_options)

    def _execute_prepared(self, prepared: "_Prepared", values: Sequence[Mapping[str, Any]]) -> QuickResult:
        before: Before = self.engine._before  # type: ignore[attr-defined]
        before(prepared.sql)
        given = [prepared.fill(each) for each in values]
        driver: Any = self._dbapi_connection.dbapi_connection  # type: ignore[union-attr]
        try:
            if len(given) == 1:
                cursor = driver.execute(prepared.sql, given[0])
            else:
                cursor = driver.executemany(prepared.sql, given)
            rows = () if prepared.shape is None else cursor.fetchall()
        except sqlite3.Error as error:
            self._handle_dbapi_exception(error, prepared.sql, given, None, None)
        result = QuickResult(prepared.shape or _NOTHING, iter(rows))
        result.rowcount = cursor.rowcount
        return result


def use_quick_connections(engine: Engine, before: Before) -> None:
    """Make an engine create such connections, each of which calls `before` with its statements."""
    engine._connection_cls = QuickConnection
    engine._before = before  # type: ignore[attr-defined]


class _Place(NamedTuple):
    """The source of one parameter: the value under `key`, or its item at `index` if it is a list, or a constant."""

    key: str | None
    index: int | None
    convert: Callable[[Any], Any] | None
    constant: Any


class _Prepared:
    """A statement for values with these names and list lengths. `shape` describes its rows; None means no rows."""

    def __init__(self, statement: Any, values: Mapping[str, Any], dialect: Any) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=sorted(values))
        written_in = any(bound.key in values for bound in compiled.literal_execute_params)
        odd = any(not isinstance(values.get(bound.key, ()), _LISTS) for bound in compiled.post_compile_params)
        self.is_simple = not (written_in or odd or compiled.insert_prefetch or compiled.update_prefetch)
        if not self.is_simple:
            return
        self.sql: str = compiled.string
        order = compiled.positiontup or ()
        always, converters = compiled.construct_params(_check=False), dict(compiled._bind_processors)
        parts = dict[str, tuple[str, int]]()
        if compiled.post_compile_params | compiled.literal_execute_params:
            given = {compiled.bind_names[bound]: values.get(bound.key) for bound in compiled.post_compile_params}
            always.update((name, each) for name, each in given.items() if each is not None)
            state = compiled._process_parameters_for_postcompile(always)
            self.sql, order = state.statement, state.positiontup or ()
            always.update(state.additional_parameters)
            converters.update(state.processors)
            for name, expanded in state.parameter_expansion.items():
                parts.update((part, (compiled.binds[name].key, index)) for index, part in enumerate(expanded))
        self._places = []
        for name in order:
            key, index = parts.get(name) or (compiled.binds[name].key if name in compiled.binds else name, None)
            convert = converters.get(name)
            if key in values:
                self._places.append(_Place(key, index, convert, None))
            else:
                constant = always[name]
                self._places.append(_Place(None, None, None, constant if convert is None else convert(constant)))
        self.shape = _shape(compiled, dialect)
        self.takes_many = self.shape is None and all(place.index is None for place in self._places)

    def fill(self, values: Mapping[str, Any]) -> list[Any]:
        """Return all values in the order of the SQL's question marks."""
        filled = []
        for key, index, convert, constant in self._places:
            value = constant if key is None else values[key] if index is None else values[key][index]
            filled.append(value if convert is None else convert(value))
        return filled


class _StatementFacts:
    """The cached facts about a statement. Derived statements copy them, and must not use them."""

    def __init__(self, statement: Any) -> None:
        self.owner = weakref.ref(statement)
        self.by_names: dict[tuple[object, ...], _Prepared] = {}


def _prepare(statement: Any, values: Mapping[str, Any], connection: Connection) -> _Prepared | None:
    """Return None for the first use, as the statement may be used once only, and for complex statements."""
    seen = statement.__dict__.get("_seen_here")
    if seen is None or seen.owner() is not statement:
        statement.__dict__["_seen_here"] = _StatementFacts(statement)
        return None
    names = tuple([(name, len(each)) if type(each) in _LISTS else name for name, each in values.items()])
    prepared = seen.by_names.get(names)
    if prepared is None:
        prepared = seen.by_names[names] = _Prepared(statement, values, connection.dialect)
    return prepared if prepared.is_simple else None


def _shape(compiled: Any, dialect: Any) -> SimpleResultMetaData | None:
    columns = compiled._result_columns
    if not columns:
        return None
    return SimpleResultMetaData(
        [column.keyname for column in columns],
        [tuple(each for each in column.objects if not isinstance(each, str)) for column in columns],
        [column.type._cached_result_processor(dialect, None) for column in columns],
    )


_LISTS = (list, tuple)
_NOTHING = SimpleResultMetaData([])
_NO_VALUES: tuple[Mapping[str, Any], ...] = ({},)
