"""Keys, people and their quotas; signing in at the page."""

from dataclasses import replace

from apiflask import APIBlueprint
from flask import Response, request

from api.access.key_ring import SESSION
from api.access.schemas import (
    ChangeUser,
    GenerateKey,
    KeyAnswer,
    KeyListAnswer,
    KeyListQuery,
    LoggedOutAnswer,
    LogIn,
    NewKeyAnswer,
    RevokeQuery,
    RotateKey,
    TicketAnswer,
    UserAnswer,
    UserListAnswer,
    WhoAmIAnswer,
)
from api.access.views import NewKey
from api.domain.access import current_principal
from api.util.base_path import BASE_PATH
from api.util.caller import SESSION_COOKIE
from api.util.envelope import encode_answer
from api.util.responses import answer
from api.web.context import services
from api.web.idempotency_routes import idempotent, keep_instead, made_before
from api.web.optional_body import body_is_optional

auth = APIBlueprint("auth", __name__, url_prefix=f"{BASE_PATH}/auth", tag="Access")

#: No cache may keep a secret.
_NO_STORE = {"Cache-Control": "no-store"}


@auth.post("/generate-key")
@auth.input(GenerateKey)
@auth.output(NewKeyAnswer, status_code=201)
@auth.doc(responses=[400, 409, 415, 422, 503])
@idempotent
def generate_key(json_data: GenerateKey) -> Response:
    """Make a key

    `api_key` is shown this once: only its hash is kept. It can permit no more than the key that asks. Of a retry with
    the same `Idempotency-Key` no second key is made, and its answer has `api_key` null.
    """
    access, by = services().access, current_principal.get()
    before = made_before()
    return _created(access.generate(json_data.request(), by) if before is None else access.reissue(before.about, by))


def _created(key: NewKey) -> Response:
    keep_instead(encode_answer(replace(key, api_key=None), 201, "created before; the key was shown then"))
    return answer(key, 201, "created", {"Location": f"{BASE_PATH}/auth/keys/{key.key_id}", **_NO_STORE})


@auth.get("/keys")
@auth.input(KeyListQuery, location="query")
@auth.output(KeyListAnswer)
@auth.doc(responses=[422])
def list_keys(query_data: KeyListQuery) -> Response:
    """Keys, newest first

    Without their secrets; those that were revoked or have expired stay in the list. Filters are joined by and.
    """
    page = services().access.get_page(query_data.user_id, query_data.state, query_data.page())
    return answer({"keys": page.rows, "pagination": page.pagination})


@auth.get("/keys/<key_id>")
@auth.output(KeyAnswer)
@auth.doc(responses=[404])
def get_key(key_id: str) -> Response:
    """One key

    What it permits, who made it, and when it was last used, to the minute.
    """
    return answer(services().access.get(key_id))


@auth.delete("/keys/<key_id>")
@auth.input(RevokeQuery, location="query")
@auth.output(KeyAnswer)
@auth.doc(responses=[404, 409, 422])
def revoke_key(key_id: str, query_data: RevokeQuery) -> Response:
    """Revoke a key

    It ends within a second on every server, with the sign-ins and streams that began with it. The only key that may do
    everything is 409 `last_administrator` unless `force=true`. Asked again: the same answer.
    """
    key = services().access.revoke(key_id, current_principal.get(), force=query_data.force)
    return answer(key, message="revoked")


@auth.post("/keys/<key_id>/rotate")
@auth.input(RotateKey)
@auth.output(NewKeyAnswer, status_code=201)
@auth.doc(responses=[400, 404, 409, 415, 422, 503])
@body_is_optional
@idempotent
def rotate_key(key_id: str, json_data: RotateKey) -> Response:
    """Replace a key

    By one that permits the same, for as long as the old one was made for; `api_key` is shown this once. The old key
    holds on for `overlap_seconds`, and its sign-ins with it. One that was replaced, revoked or has expired is 409
    `key_ended`.
    """
    access, by = services().access, current_principal.get()
    successor = None if made_before() is None else access.get(key_id).rotated_to
    if successor is not None:
        return _created(access.reissue(successor, by))
    return _created(access.rotate(key_id, json_data.overlap_seconds, by))


@auth.get("/whoami")
@auth.output(WhoAmIAnswer)
@auth.doc(responses=[401])
def get_whoami() -> Response:
    """Who one is, and what one may do

    Also with `AUTH=off`, where everybody may do everything: `auth` says which.
    """
    return answer(services().access.who_am_i(current_principal.get()), headers=_NO_STORE)


@auth.post("/login")
@auth.input(LogIn)
@auth.output(WhoAmIAnswer)
@auth.doc(responses=[400, 401, 415, 422, 503])
def log_in(json_data: LogIn) -> Response:
    """Sign in at the page with a key

    Sets the cookie `dp_session`, which no script can read and no other site's page can send; for 12 h, or until the key
    ends. A key that is wrong, has expired or was revoked is 401 and says which. The sign-in that the browser had before
    ends.
    """
    before = current_principal.get()
    cookie, who = services().access.log_in(json_data.key)
    services().access.log_out(before)
    response = answer(who, message="signed in", headers=_NO_STORE)
    set_session_cookie(response, cookie)
    return response


def set_session_cookie(response: Response, cookie: str) -> None:
    """Gives the browser the cookie of a session: no script can read it, and no other site's page can send it."""
    response.set_cookie(
        SESSION_COOKIE, cookie, max_age=SESSION, path="/", secure=request.is_secure, httponly=True, samesite="Strict"
    )


@auth.post("/logout")
@auth.output(LoggedOutAnswer)
@auth.doc(responses=[503])
def log_out() -> Response:
    """Sign out

    Ends the sign-in that the cookie belongs to, with its streams, and takes the cookie away. It takes no body.
    """
    services().access.log_out(current_principal.get())
    response = answer(None, message="signed out", headers=_NO_STORE)
    response.delete_cookie(SESSION_COOKIE, path="/", secure=request.is_secure, httponly=True, samesite="Strict")
    return response


@auth.post("/ticket")
@auth.output(TicketAnswer)
@auth.doc(responses=[503])
def make_ticket() -> Response:
    """A ticket for one stream

    For an EventSource or WebSocket of a page elsewhere, which can send neither key nor cookie: good once, for 30 s. It
    takes no body.
    """
    return answer(services().access.make_ticket(current_principal.get()), headers=_NO_STORE)


@auth.get("/users")
@auth.output(UserListAnswer)
@auth.doc(responses=[401, 403])
def list_users() -> Response:
    """The people whom keys were made for

    By name, each with quota and the number of keys that hold.
    """
    return answer({"users": services().access.get_users()})


@auth.patch("/users/<user_id>")
@auth.input(ChangeUser)
@auth.output(UserAnswer)
@auth.doc(responses=[400, 404, 415, 422, 503])
def change_user(user_id: str, json_data: ChangeUser) -> Response:
    """Change what somebody may use

    Of the quota what is given replaces what was there; null takes a bound away.
    """
    return answer(services().access.change_quota(user_id, json_data.quota.changes()))
