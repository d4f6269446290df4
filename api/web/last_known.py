"""Lets readers wait only shortly for the database: where it does not answer, they get its last answer with its age."""

from contextlib import ExitStack

from apiflask import APIFlask
from flask import Response, g, request

from api.domain.access import Principal, current_principal
from api.errors import DatabaseUnavailable
from api.util.database_use import Use, current_use
from api.util.deadlines import READ_SECONDS, hurrying
from api.util.envelope import JSON
from api.util.responses import answer_error
from api.web.context import services
from api.web.known_answers import KnownAnswer, KnownAnswers

#: The header of an answer that is not of now: the code of the error that is the reason; `Age` has its age in seconds.
STALE = "X-Stale"


def answer_from_what_is_known(app: APIFlask, known: KnownAnswers) -> None:
    """Does this for every GET of the app but downloads and texts. Each principal gets only answers of their own."""

    def begin() -> None:
        g.use, g.changes, g.asked_at = Use(), known.changes, services().clock.monotonic()
        g.until_end = ExitStack()
        before = current_use.set(g.use)
        g.until_end.callback(current_use.reset, before)
        if _only_reads():
            g.until_end.enter_context(hurrying(READ_SECONDS))

    def end(response: Response) -> Response:
        if not _only_reads():
            # Also what was accepted without the database, such as a stop: nobody shall be told of the time before it.
            if g.use.has_written or response.status_code < 400:
                known.forget_all()
        elif (
            response.status_code == 200
            and g.use.has_read
            and response.mimetype == JSON
            and STALE not in response.headers
        ):
            known.keep(_address(), KnownAnswer(response.get_data(), g.asked_at), g.changes)
        return response

    def answer_last(error: DatabaseUnavailable) -> Response:
        found = known.get(_address()) if _only_reads() and error.code == DatabaseUnavailable.code else None
        if found is None:
            return answer_error(error)
        age = max(0, int(services().clock.monotonic() - found.asked_at))
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
