"""The query of a stream of a log."""

from dataclasses import dataclass

from api.live.addresses import Asked
from api.live.query_parameters import QueryParameters
from api.models.log import LineFilter, LogLevel, LogType
from api.services.logs.follower import Tail

#: How many earlier lines come first by default, and at most.
DEFAULT_TAIL = 100
MAX_TAIL = 10_000

MAX_OFFSET = 2**62

_DIGITS = 18


@dataclass(frozen=True, slots=True)
class FollowQuery:
    """Where to begin, and which lines are wanted."""

    start: int | Tail
    wanted: LineFilter


def parse_follow_query(asked: Asked) -> FollowQuery:
    """The query of a request; a Last-Event-ID goes before `offset` and `tail`. Raises Invalid with every mistake."""
    query = QueryParameters(asked.query, ("offset", "tail", "level", "type"))
    start = read_start(query)
    level = query.choice("level", LogLevel)
    kind = None if query.text("type") == "all" else query.choice("type", LogType)
    query.check()
    last = asked.last_event_id or ""
    if last.isascii() and last.isdecimal() and len(last) <= _DIGITS:
        start = int(last)
    return FollowQuery(start, LineFilter(level, kind))


def read_start(query: QueryParameters) -> int | Tail:
    """Where to begin by `offset` or `tail`."""
    query.exclude("offset", "tail")
    offset, tail = query.number("offset", MAX_OFFSET), query.number("tail", MAX_TAIL)
    return offset if offset is not None else Tail(DEFAULT_TAIL if tail is None else tail)
