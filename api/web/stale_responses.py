"""Stale responses: while the database is unavailable, readers get its last response with its age."""

from contextlib import ExitStack

from apiflask import APIFlask
from flask import Response, g, request

from api.domain.access import Principal, current_principal
from api.errors import DatabaseUnavailable
from api.util.database_use import Use, current_use
from api.util.deadlines import READ_SECONDS, wait_limit
from api.util.envelope import JSON
from api.util.responses import answer_error
from api.web.context import services
from api.web.response_cache import CachedResponse, ResponseCache

#: The header of a stale response: the code of the error that is the reason. `Age` has its age in seconds.
STALE = "X-Stale"


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
