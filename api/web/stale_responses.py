"""Stale responses: while the database is unavailable, readers get its last response with its age."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from contextlib import ExitStack
from dataclasses import dataclass

from apiflask import APIFlask
from flask import Response, g, request

from api.db.database import Use, current_use
from api.domain.access import Principal, current_principal
from api.errors import DatabaseUnavailable
from api.util.deadlines import READ_SECONDS, wait_limit
from api.util.envelope import JSON
from api.web.responses import answer_error, services

#: The header of a stale response: the code of the error that is the reason. `Age` has its age in seconds.
STALE = "X-Stale"


#: The most responses, bytes of all of them, and bytes of one.
ANSWERS, TOTAL_BYTES, ANSWER_BYTES = 200, 8 * 1024 * 1024, 1024 * 1024


@dataclass(frozen=True, slots=True)
class CachedResponse:
    """The body of a success, and the monotonic time of its request."""

    body: bytes
    requested_at: float


class ResponseCache:
    """The latest response per principal and address.

    Any change empties the cache, so that no user misses their own write.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: OrderedDict[Hashable, CachedResponse] = OrderedDict()
        self._bytes = 0
        self._changes = 0

    @property
    def changes(self) -> int:
        """The number of times that the cache was emptied."""
        return self._changes

    def keep(self, address: Hashable, answer: CachedResponse, changes: int) -> None:
        """Store a response, unless the cache was emptied since the request began with this count of `changes`."""
        with self._lock:
            self._drop(address)
            if changes != self._changes or len(answer.body) > ANSWER_BYTES:
                return
            self._answers[address] = answer
            self._bytes += len(answer.body)
            while len(self._answers) > ANSWERS or self._bytes > TOTAL_BYTES:
                self._drop(next(iter(self._answers)))

    def get(self, address: Hashable) -> CachedResponse | None:
        """Return the latest response at this address, or None."""
        with self._lock:
            return self._answers.get(address)

    def forget_all(self) -> None:
        """Empty the cache after a change."""
        with self._lock:
            self._changes += 1
            self._answers.clear()
            self._bytes = 0

    def _drop(self, address: Hashable) -> None:
        dropped = self._answers.pop(address, None)
        if dropped is not None:
            self._bytes -= len(dropped.body)


def serve_stale_responses(app: APIFlask, known: ResponseCache) -> None:
    """Serve stale responses for every GET of the app except downloads and texts, each principal its own."""

    def begin() -> None:
        g.use, g.changes, g.requested_at = Use(), known.changes, services().clock.monotonic()
        g.until_end = ExitStack()
        before = current_use.set(g.use)
        g.until_end.callback(current_use.reset, before)
        if _only_reads():
            g.until_end.enter_context(wait_limit(READ_SECONDS))

    def end(response: Response) -> Response:
        if not _only_reads():
            # Also after a change accepted without the database, such as a stop: older responses would contradict it.
            if g.use.has_written or response.status_code < 400:
                known.forget_all()
        elif (
            response.status_code == 200
            and g.use.has_read
            and response.mimetype == JSON
            and STALE not in response.headers
        ):
            known.keep(_address(), CachedResponse(response.get_data(), g.requested_at), g.changes)
        return response

    def answer_last(error: DatabaseUnavailable) -> Response:
        found = known.get(_address()) if _only_reads() and error.code == DatabaseUnavailable.code else None
        if found is None:
            return answer_error(error)
        age = max(0, int(services().clock.monotonic() - found.requested_at))
        return Response(found.body, content_type=JSON, headers={"Age": str(age), STALE: error.code})

    app.before_request(begin)
    app.after_request(end)
    app.teardown_request(_end_context)
    app.register_error_handler(DatabaseUnavailable, answer_last)


def _address() -> tuple[Principal, str]:
    return current_principal.get(), request.full_path


def _end_context(error: BaseException | None) -> None:
    if "until_end" in g:
        g.until_end.close()


def _only_reads() -> bool:
    return request.method in ("GET", "HEAD")
