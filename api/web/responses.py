"""What every route needs: the services of the app, and responses in the common form.

While the database is unavailable, readers get its last response with its age.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec, cast

from apiflask import APIFlask
from flask import Response, current_app, g, request
from werkzeug.datastructures import Headers

from api.db.database import Use, current_use
from api.domain.access.principal import Principal, current_principal
from api.errors import DatabaseUnavailable, NotFound, ServiceError
from api.util.deadlines import READ_SECONDS, wait_limit
from api.util.files.stored_form import FILE
from api.util.http.documents import reply_with
from api.util.http.envelope import JSON, encode_answer, encode_error
from api.util.text.ids import current_request_id

if TYPE_CHECKING:
    from api.composition.services import Services


def services() -> "Services":
    """Return the services of the running app."""
    return cast("Services", current_app.extensions["services"])


def answer(data: Any, code: int = 200, message: str = "success", headers: Mapping[str, str] | None = None) -> Response:
    """Return a response with the envelope of a success with `data`."""
    return Response(encode_answer(data, code, message), status=code, content_type=JSON, headers=dict(headers or {}))


def answer_error(error: ServiceError) -> Response:
    """Return a response with the envelope of an error."""
    body = encode_error(error, current_request_id.get())
    return Response(body, status=error.status, content_type=JSON, headers=error.headers)


def answer_bytes(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Response:
    """Return a response from prepared parts."""
    response = Response(body, status, Headers([(n.decode("latin-1"), v.decode("latin-1")) for n, v in headers]))
    if status == 304:
        # Flask gives every response a type, but this one has no content.
        del response.headers["Content-Type"]
    return response


def answer_file(environ: Mapping[str, Any], file: Any) -> Response:
    """Pass an open file to the shell, which sends and closes it. The returned response is not sent."""
    environ["asgi.scope"]["state"][FILE] = file
    return Response(status=200)


def answer_document(path: str, node: str | None = None) -> Response:
    """Return the document at this path as a response, filtered to the caller's scope; 304 or compressed as requested.

    `node` limits it to this node's GPUs. Raises NodeNotFound.
    """
    parts, environ = services(), request.environ
    document = parts.gpus.service.seen.of_node(node).table.get(path, environ.get("HTTP_ACCEPT", ""))
    if document is None:
        raise NotFound
    if_none_match, accept_encoding = environ.get("HTTP_IF_NONE_MATCH", ""), environ.get("HTTP_ACCEPT_ENCODING", "")
    return answer_bytes(*reply_with(document, if_none_match, accept_encoding, parts.clock.monotonic()))


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


P = ParamSpec("P")

_MARK = "body_is_optional"


def body_is_optional(view: Callable[P, Response]) -> Callable[P, Response]:
    """Mark a view that treats a missing body as `{}`."""
    setattr(view, _MARK, True)
    return view


def may_have_no_body(view: Callable[..., object]) -> bool:
    """Return whether the body of this view is optional."""
    return getattr(view, _MARK, False)
