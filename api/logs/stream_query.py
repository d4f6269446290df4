"""The query parameters of a stream of a log."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator

from api.domain.log import LineFilter, LogLevel, LogType
from api.logs.follower import Tail
from api.streaming.addresses import StreamRequest
from api.streaming.query_parameters import StreamQuery, one_of, read_query, up_to

#: Default and maximum number of earlier lines at the start of a stream.
DEFAULT_TAIL = 100
MAX_TAIL = 10_000

MAX_OFFSET = 2**62

_DIGITS = 18

Offset = Annotated[int | None, BeforeValidator(up_to(MAX_OFFSET))]
TailLines = Annotated[int | None, BeforeValidator(up_to(MAX_TAIL))]

#: Parameters for the start of a stream, of which only one may be set.
START_PARAMETERS = ("offset", "tail")


def _one_type(text: str) -> LogType | None:
    return None if text == "all" else one_of(LogType)(text)


class LogStreamQuery(StreamQuery):
    """The query parameters: the start, and the filter of lines."""

    alternatives = START_PARAMETERS

    offset: Offset = None
    tail: TailLines = None
    level: Annotated[LogLevel | None, BeforeValidator(one_of(LogLevel))] = None
    type: Annotated[LogType | None, BeforeValidator(_one_type)] = None


@dataclass(frozen=True, slots=True)
class FollowQuery:
    """The start of a stream, and its filter of lines."""

    start: int | Tail
    line_filter: LineFilter


def parse_follow_query(request: StreamRequest) -> FollowQuery:
    """Return the options of a request.

    Last-Event-ID takes precedence over `offset` and `tail`. Raises Invalid with every mistake.
    """
    query = read_query(LogStreamQuery, request.query)
    start = start_of(query.offset, query.tail)
    last = request.last_event_id or ""
    if last.isascii() and last.isdecimal() and len(last) <= _DIGITS:
        start = int(last)
    return FollowQuery(start, LineFilter(query.level, query.type))


def start_of(offset: int | None, tail: int | None) -> int | Tail:
    """Return the start for `offset` or `tail`."""
    return offset if offset is not None else Tail(DEFAULT_TAIL if tail is None else tail)
