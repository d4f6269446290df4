"""The query of a stream of a log."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator

from api.domain.log import LineFilter, LogLevel, LogType
from api.logs.follower import Tail
from api.streaming.addresses import Asked
from api.streaming.query_parameters import StreamQuery, one_of, read_query, up_to

#: How many earlier lines come first by default, and at most.
DEFAULT_TAIL = 100
MAX_TAIL = 10_000

MAX_OFFSET = 2**62

_DIGITS = 18

Offset = Annotated[int | None, BeforeValidator(up_to(MAX_OFFSET))]
TailLines = Annotated[int | None, BeforeValidator(up_to(MAX_TAIL))]

#: A log is begun at an offset or before its end, and not both.
PLACES = ("offset", "tail")


def _one_type(text: str) -> LogType | None:
    return None if text == "all" else one_of(LogType)(text)


class LogStreamQuery(StreamQuery):
    """Where to begin, and which lines are wanted, as it is asked."""

    alternatives = PLACES

    offset: Offset = None
    tail: TailLines = None
    level: Annotated[LogLevel | None, BeforeValidator(one_of(LogLevel))] = None
    type: Annotated[LogType | None, BeforeValidator(_one_type)] = None


@dataclass(frozen=True, slots=True)
class FollowQuery:
    """Where to begin, and which lines are wanted."""

    start: int | Tail
    wanted: LineFilter


def parse_follow_query(asked: Asked) -> FollowQuery:
    """The query of a request; a Last-Event-ID goes before `offset` and `tail`. Raises Invalid with every mistake."""
    query = read_query(LogStreamQuery, asked.query)
    start = place(query.offset, query.tail)
    last = asked.last_event_id or ""
    if last.isascii() and last.isdecimal() and len(last) <= _DIGITS:
        start = int(last)
    return FollowQuery(start, LineFilter(query.level, query.type))


def place(offset: int | None, tail: int | None) -> int | Tail:
    """Where to begin by `offset` or `tail`."""
    return offset if offset is not None else Tail(DEFAULT_TAIL if tail is None else tail)
