"""Routes of the sign-in by OpenID Connect."""

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from apiflask import APIBlueprint
from flask import Response, request

from api.access.routes import set_session_cookie
from api.access.schemas import SignInQuery
from api.access.service import SIGN_IN
from api.access.views import SignInMethods
from api.domain.access.audit import note_refusal
from api.errors import NotFound, SignInFailed
from api.util.http.base_path import BASE_PATH
from api.web.responses import answer, services
from api.web.schemas import envelope_of

if TYPE_CHECKING:
    from api.access.oidc import OIDC

oidc = APIBlueprint("oidc", __name__, url_prefix=f"{BASE_PATH}/auth", tag="Access")

#: The cookie of a browser during a sign-in, and the path to which it is sent.
COOKIE = "dp_sign_in"
_PLACE = f"{BASE_PATH}/auth/oidc"

_ANSWERS: dict[int, str] = {303: "Redirect.", 404: "Not found"}


@oidc.get("/ways")
@oidc.output(envelope_of(SignInMethods))
def list_sign_in_methods() -> Response:
    """List the ways to sign in.

    Whether keys are required, and where to sign in by OpenID Connect; null without a provider.
    """
    known = services().access
    return answer(SignInMethods(known.service.auth, None if known.oidc is None else f"{_PLACE}/login"))


@oidc.get("/oidc/login")
@oidc.input(SignInQuery, location="query")
@oidc.doc(responses={**_ANSWERS, 422: "Unprocessable entity"})
def start_oidc_login(query_data: SignInQuery) -> Response:
    """Sign in by OpenID Connect.

    For browsers: redirects to the provider, which redirects back to `/auth/oidc/callback`.
    """
    here = f"{request.scheme}://{request.host}{_PLACE}/callback"
    try:
        url, cookie = _provider().begin(here, _own(query_data.next))
    except SignInFailed as error:
        return _to_page(error)
    response = _redirect(url)
    # Lax: the browser must send it when the provider redirects back.
    response.set_cookie(
        COOKIE, cookie, max_age=SIGN_IN, path=_PLACE, secure=request.is_secure, httponly=True, samesite="Lax"
    )
    return response


@oidc.get("/oidc/callback")
@oidc.doc(responses=_ANSWERS)
def finish_oidc_login() -> Response:
    """Complete a sign-in by OpenID Connect.

    The provider redirects the browser here. Redirects on with a session, or to the page's sign-in with the error.
    """
    try:
        session, cookie, next_ = _provider().finish(request.cookies.get(COOKIE), request.args)
    except SignInFailed as error:
        return _to_page(error)
    services().access.service.begin_session(session)
    response = _redirect(next_)
    set_session_cookie(response, cookie)
    response.delete_cookie(COOKIE, path=_PLACE)
    return response


def _provider() -> "OIDC":
    provider = services().access.oidc
    if provider is None:
        raise NotFound("Sign-in by OpenID Connect is not configured: set OIDC_ISSUER.")
    return provider


def _own(next_: str) -> str:
    """Return the address if it is one of this service, else that of the page: no redirects to other sites."""
    is_own = next_.startswith("/") and not next_.startswith(("//", "/\\")) and next_.isprintable()
    return next_ if is_own else "/"


def _to_page(error: SignInFailed) -> Response:
    note_refusal(error.code)
    return _redirect(f"/#/sign-in?{urlencode({'problem': error.detail})}")


def _redirect(url: str) -> Response:
    response = Response(status=303, headers={"Location": url, "Cache-Control": "no-store"})
    del response.headers["Content-Type"]
    return response
