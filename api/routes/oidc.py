"""Sign-in by OpenID Connect: the browser goes to the provider, and comes back with a session."""

from urllib.parse import urlencode, urlsplit

from apiflask import APIBlueprint
from flask import Response, redirect, request

from api.errors import NotFound, SignInFailed
from api.routes.auth import set_session_cookie
from api.routes.context import services
from api.routes.schemas.auth import SignInQuery, SignInWaysAnswer
from api.services.access.oidc import SIGN_IN_SECONDS
from api.utils.base_path import BASE_PATH
from api.utils.responses import answer

oidc = APIBlueprint("oidc", __name__, url_prefix=f"{BASE_PATH}/auth", tag="Keys")

#: The cookie of a browser that has gone to the provider. Lax: it must come along when that sends it back.
COOKIE = "dp_sign_in"

_REDIRECTS: dict[int | str, dict[str, str]] = {303: {"description": "To where it goes on."}}


@oidc.get("/ways")
@oidc.output(SignInWaysAnswer)
def get_ways() -> Response:
    """How people can sign in

    Whether keys are asked for at all, and where to sign in by OpenID Connect; null without a provider.
    """
    return answer(services().access.get_ways())


@oidc.get("/oidc/login")
@oidc.input(SignInQuery, location="query")
@oidc.doc(responses=_REDIRECTS)
def begin(query_data: SignInQuery) -> Response:
    """Sign in by OpenID Connect

    For a browser: it is sent to the provider, and from there back to `/auth/oidc/callback`.
    """
    here = f"{request.scheme}://{request.host}{BASE_PATH}/auth/oidc/callback"
    try:
        url, cookie = _provider().begin(here, _own(query_data.next))
    except SignInFailed as error:
        return _to_page(error)
    response = redirect(url, 303)
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=SIGN_IN_SECONDS,
        path=f"{BASE_PATH}/auth/oidc",
        httponly=True,
        secure=request.is_secure,
        samesite="Lax",
    )
    response.headers["Cache-Control"] = "no-store"
    return response


@oidc.get("/oidc/callback")
@oidc.doc(responses=_REDIRECTS)
def finish() -> Response:
    """Where the provider sends the browser back to

    With a session, or to the page's sign-in, which says what went wrong.
    """
    try:
        session, cookie, next_ = _provider().finish(request.cookies.get(COOKIE), request.args)
    except SignInFailed as error:
        return _to_page(error)
    services().access.begin_session(session)
    response = redirect(next_, 303)
    set_session_cookie(response, cookie, session.expires_at)
    response.delete_cookie(COOKIE, path=f"{BASE_PATH}/auth/oidc")
    response.headers["Cache-Control"] = "no-store"
    return response
