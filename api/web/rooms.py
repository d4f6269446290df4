"""The application below the shell, in rooms: each is built when the first request enters it."""

import functools
import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

logger = logging.getLogger(__name__)


class Rooms:
    """A WSGI application that hands each request to the one of its room."""

    def __init__(self, room_at: Callable[[str], str], load: "Callable[[], Callable[[str], WSGIApplication]]") -> None:
        """`room_at` names the room of a path; `load` brings what makes its application."""
        self._room_at = room_at
        self._load = functools.cache(load)
        self._built: dict[str, WSGIApplication] = {}
        # One for all: rooms share modules and blueprints, and none is seen before it is whole.
        self._building = threading.Lock()

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answers a request. What is raised while its room is built is raised here, and tried anew by the next one."""
        return self._enter(self._room_at(environ["PATH_INFO"]))(environ, start_response)

    def _enter(self, name: str) -> "WSGIApplication":
        return self._built.get(name) or self._build_once(name)

    def _build_once(self, name: str) -> "WSGIApplication":
        with self._building:
            if name not in self._built:
                began = time.perf_counter()
                self._built[name] = self._load()(name)
                took = round(1000 * (time.perf_counter() - began))
                logger.debug("room loaded", extra={"room": name, "ms": took})
            return self._built[name]
