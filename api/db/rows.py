"""Conversion between rows and models. Times are Unix seconds in the database and UTC datetimes outside."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter
from sqlalchemy import Column, Connection, Row, Select, Table, and_, func

from api.domain.machines.lease import Lease
from api.domain.reason import ReasonCode, ReasonOrText, code_of, text_of
from api.domain.tasks.cause import Cause
from api.domain.tasks.training import (
    Attempt,
    TaskEvent,
)
from api.util.clock import SLACK_SECONDS
from api.util.http.pagination import Page, PageRequest, read_page

T = TypeVar("T")

_CODE = TypeAdapter(ReasonCode)
_CAUSE = TypeAdapter(Cause)


def to_seconds(time: datetime) -> float:
    """Return Unix seconds."""
    return time.timestamp()


def to_time(seconds: float) -> datetime:
    """Return a UTC time."""
    return datetime.fromtimestamp(seconds, UTC)


def is_ahead(column: Any, now: Any, longest: float) -> Any:
    """Return the SQL condition that this time is in the future.

    A time further ahead of `now` than `longest`, the longest wait ever set, does not count: it was written before the
    clock was set back.
    """
    return and_(column > now, column <= now + longest + SLACK_SECONDS)


def maybe_time(seconds: float | None) -> datetime | None:
    """Return a UTC time; None stays None."""
    return None if seconds is None else to_time(seconds)


def read_fields(kind: Callable[..., T], row: Row[*tuple[Any, ...]], /, **given: Any) -> T:
    """Return a `kind`, a dataclass, from a row.

    Fields that are not given come from the columns with their names. Times, enum members, tuples and documents are
    converted to the types of the fields; NULL becomes None.
    """
    columns = row._asdict()
    for name, convert in conversions_of(kind).items():
        if name not in given and name in columns:
            value = columns[name]
            given[name] = value if value is None or convert is None else convert(value)
    return kind(**given)


@cache
def conversions_of(kind: Any) -> dict[str, Callable[[Any], Any] | None]:
    """Return the functions that convert columns to the fields of a dataclass, by field; None: it is used as it is."""
    types = get_type_hints(kind)
    return {field.name: _conversion(types[field.name]) for field in fields(kind)}


def _conversion(type_: Any) -> Callable[[Any], Any] | None:
    """Return the function that converts a column to this type; None: the value is used as it is."""
    if get_origin(type_) in (Union, UnionType):
        kinds = [each for each in get_args(type_) if each is not NoneType]
        type_ = kinds[0] if len(kinds) == 1 else Any
    if hasattr(type_, "from_json"):
        read: Callable[[Any], Any] = type_.from_json
        return read
    if is_dataclass(type_):
        return TypeAdapter(type_).validate_python
    if type_ is datetime:
        return to_time
    if isinstance(type_, type) and issubclass(type_, Enum):
        # Faster than a call of the class.
        return {member.value: member for member in type_}.__getitem__
    return tuple if get_origin(type_) is tuple else None


def dump_fields(value: Any, table: Table, /, **given: Any) -> dict[str, Any]:
    """Return the columns of a table that are not given and have the name of a field of this dataclass.

    It is the reverse of `read_fields`: times become Unix seconds, and texts become `clean`. Documents stay as they are.
    """
    names = [field.name for field in fields(value) if field.name in table.c and field.name not in given]
    return {name: _dump_field(getattr(value, name)) for name in names} | given


def _dump_field(value: Any) -> Any:
    if isinstance(value, datetime):
        return to_seconds(value)
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return list(value)
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def select_page(
    connection: Connection,
    query: Select[Any],
    number: Column[Any],
    request: PageRequest,
    read: Callable[[Row[Any]], T],
) -> Page[T]:
    """Return the requested page of a query's rows, those with the highest `number` first."""
    total = connection.scalar(query.with_only_columns(func.count(), maintain_column_froms=True)) or 0

    def read_rows(limit: int, offset: int, cursor: int | None) -> tuple[Sequence[Row[Any]], int]:
        cut = query.order_by(number.desc()).limit(limit)
        return connection.execute(cut.offset(offset) if cursor is None else cut.where(number < cursor)).all(), total

    return read_page(read_rows, lambda row: row._asdict()[number.name], request).map(read)


def clean(text: str) -> str:
    """Return the text without NUL and lone surrogates, which databases reject and programs may print."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def dump_message(message: ReasonOrText | None, column: str) -> dict[str, Any]:
    """Return the values of two columns: the text in `column`, and its code in the column beside it."""
    text, code = (None, None) if message is None else (clean(text_of(message)), clean_json(dump(code_of(message))))
    return {column: text, f"{column}_code": code}


def clean_json(value: Any) -> Any:
    """Return a JSON value with `clean` texts."""
    if isinstance(value, dict):
        return {name: clean_json(each) for name, each in value.items()}
    if isinstance(value, list):
        return [clean_json(each) for each in value]
    return clean(value) if isinstance(value, str) else value


def read_code(document: Any) -> ReasonCode | None:
    """Return the code of a sentence from its JSON, or None."""
    return None if document is None else _CODE.validate_python(document)


def dump(value: Any) -> Any:
    """Return a dataclass as JSON; None stays None."""
    return None if value is None else asdict(value)


def read_cause(document: Any) -> Cause | None:
    """Return a cause from its JSON."""
    return None if document is None else _CAUSE.validate_python(document)


def read_attempt(row: Row[Any]) -> Attempt:
    """Return an attempt from its row."""
    return read_fields(Attempt, row)


def read_lease(row: Row[Any]) -> Lease:
    """Return a lease from its row."""
    return read_fields(Lease, row)


def read_event(row: Row[Any]) -> TaskEvent:
    """Return an event from its row."""
    return read_fields(TaskEvent, row, attempt=row.attempt_uid, timestamp=to_time(row.at))
