"""What one who follows a log may ask for."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from api.errors import Invalid, Mistake
from api.models.log import LineFilter, LogLevel, LogType
from api.services.log_follower import Tail

#: Lines that come first when nothing is said.
DEFAULT_TAIL = 100
MAX_TAIL = 10_000

_NAMES = ("offset", "tail", "level", "type")


@dataclass(frozen=True, slots=True)
class FollowQuery:
    """Where to begin, and which lines are wanted."""

    start: int | Tail
    wanted: LineFilter


def parse_follow_query(connection: HTTPConnection) -> FollowQuery:
    """What a connection asks for; the last id that it has seen goes before its query. Raises Invalid."""
    query, mistakes = connection.query_params, []
    mistakes += [
        Mistake(f"/{name}", f"unknown field; known are: {', '.join(_NAMES)}") for name in query if name not in _NAMES
    ]
    offset, tail = _whole(query, "offset", mistakes), _whole(query, "tail", mistakes)
    if "offset" in query and "tail" in query:
        mistakes.append(Mistake("", "give offset or tail, and not both"))
    level = _choice(query, "level", [level.value for level in LogLevel], mistakes)
    kind = _choice(query, "type", [*(kind.value for kind in LogType), "all"], mistakes)
    if mistakes:
        raise Invalid(mistakes=mistakes)
    wanted = LineFilter(None if level is None else LogLevel(level), None if kind in (None, "all") else LogType(kind))
    last = _offset(connection.headers.get("last-event-id", ""))
    if last is not None:
        return FollowQuery(last, wanted)
    return FollowQuery(
        Tail(min(DEFAULT_TAIL if tail is None else tail, MAX_TAIL)) if offset is None else offset, wanted
    )


def _whole(query: Mapping[str, str], name: str, mistakes: list[Mistake]) -> int | None:
    if name not in query:
        return None
    value = _offset(query[name])
    if value is None:
        mistakes.append(Mistake(f"/{name}", "must be a whole number from 0 on"))
    return value


def _offset(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None


def _choice(query: Mapping[str, str], name: str, known: list[str], mistakes: list[Mistake]) -> str | None:
    value = query.get(name)
    if value is not None and value not in known:
        mistakes.append(Mistake(f"/{name}", f"must be one of {', '.join(known)}"))
    return value
