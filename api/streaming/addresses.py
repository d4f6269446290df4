"""The routes of live streams, and the requests for them."""

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum

from api.streaming.delivery import Frames
from api.util.text.ids import check_task_id


class Transport(StrEnum):
    """The transport of a stream."""

    EVENTS = "sse"
    WEB_SOCKET = "websocket"


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """A request for a stream."""

    arguments: Mapping[str, str]  #: the variable parts of the path, by name
    query: str
    last_event_id: str | None  #: header of a client that reconnects; None without it


#: Opens a stream. Errors of the request are raised on entering, before anything is sent.
Opener = Callable[[StreamRequest], AbstractAsyncContextManager[Frames]]


@dataclass(frozen=True, slots=True)
class LiveRoute:
    """One route, written as Flask's routes are: `/training/<task_id>/events/stream`."""

    pattern: str
    transport: Transport
    open: Opener
    _expression: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        expression = re.sub(r"<(\w+)>", r"(?P<\1>[^/]+)", self.pattern)
        object.__setattr__(self, "_expression", re.compile(expression))

    def match(self, path: str) -> Mapping[str, str] | None:
        """Return the variable parts of this path by name; None if the path does not match."""
        found = self._expression.fullmatch(path)
        return None if found is None else found.groupdict()


@dataclass(frozen=True, slots=True)
class MatchedRoute:
    """The route of a path, with the variable parts."""

    route: LiveRoute
    arguments: Mapping[str, str]

    def open(self, query: str, last_event_id: str | None) -> AbstractAsyncContextManager[Frames]:
        """Open the stream. Errors of the request are raised here or on entering."""
        task_id = self.arguments.get("task_id")
        if task_id is not None:
            check_task_id(task_id)
        return self.route.open(StreamRequest(self.arguments, query, last_event_id))


class LiveRoutes:
    """All routes of live streams."""

    def __init__(self, routes: Iterable[LiveRoute]) -> None:
        self._by_transport: dict[Transport, list[LiveRoute]] = {transport: [] for transport in Transport}
        for route in routes:
            self._by_transport[route.transport].append(route)

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns of all routes, as Flask writes them."""
        return tuple(route.pattern for routes in self._by_transport.values() for route in routes)

    def find(self, transport: Transport, path: str) -> MatchedRoute | None:
        """Return the route of this path for this transport, or None."""
        for route in self._by_transport[transport]:
            arguments = route.match(path)
            if arguments is not None:
                return MatchedRoute(route, arguments)
        return None
