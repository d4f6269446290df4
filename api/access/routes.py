"""Routes of keys, users with their quotas, and sign-ins."""

from dataclasses import replace

from apiflask import APIBlueprint
from flask import Response, request

from api.access.key_ring import SESSION
from api.access.schemas import (
    AuditPage,
    AuditQuery,
    ChangeUser,
    GenerateKey,
    KeyList,
    KeyListQuery,
    LogIn,
    RevokeQuery,
    RotateKey,
    UserList,
    VerifyQuery,
)
from api.access.views import KeyView, NewKey, Ticket, UserView, WhoAmI
from api.domain.access.audit import ChainVerdict
from api.domain.access.principal import current_principal
from api.util.http.base_path import BASE_PATH
from api.util.http.caller import SESSION_COOKIE
from api.util.http.envelope import encode_answer
from api.web.idempotency_routes import earlier_result, idempotent, store_instead
from api.web.responses import answer, body_is_optional, services
from api.web.schemas import envelope_of

auth = APIBlueprint("auth", __name__, url_prefix=f"{BASE_PATH}/auth", tag="Access")

#: No cache may store a secret.
_NO_STORE = {"Cache-Control": "no-store"}


@auth.post("/generate-key")
@auth.input(GenerateKey)
@auth.output(envelope_of(NewKey), status_code=201)
@auth.doc(responses=[400, 409, 415, 422, 503])
@idempotent
def generate_key(json_data: GenerateKey) -> Response:
    """Create a key.

    `api_key` is shown only in this response, because only its hash is stored. A key can have no more permissions than
    the key that creates it. A retry with the same `Idempotency-Key` creates no second key and returns `api_key` null.
    """
    access, by = services().access.service, current_principal.get()
    before = earlier_result()
    return _created(access.generate(json_data.request(), by) if before is None else access.reissue(before.about, by))


def _created(key: NewKey) -> Response:
    store_instead(encode_answer(replace(key, api_key=None), 201, "created earlier; the key was shown then"))
    return answer(key, 201, "created", {"Location": f"{BASE_PATH}/auth/keys/{key.key_id}", **_NO_STORE})


@auth.get("/keys")
@auth.input(KeyListQuery, location="query")
@auth.output(envelope_of(KeyList))
@auth.doc(responses=[422])
def list_keys(query_data: KeyListQuery) -> Response:
    """List keys, newest first.

    Without their secrets. Revoked and expired keys stay in the list. All filters must match.
    """
    page = services().access.service.get_page(query_data.user_id, query_data.state, query_data.page())
    return answer({"keys": page.rows, "pagination": page.pagination})


@auth.get("/keys/<key_id>")
@auth.output(envelope_of(KeyView))
@auth.doc(responses=[404])
def get_key(key_id: str) -> Response:
    """Get a key.

    With its permissions, its creator, and the minute of its last use.
    """
    return answer(services().access.service.get(key_id))


@auth.delete("/keys/<key_id>")
@auth.input(RevokeQuery, location="query")
@auth.output(envelope_of(KeyView))
@auth.doc(responses=[404, 409, 422])
def revoke_key(key_id: str, query_data: RevokeQuery) -> Response:
    """Revoke a key.

    It ends within a second on every server, with its sessions and streams. Revoking the only administrator's key fails
    with 409 `last_administrator` unless `force=true`. Repeating the request gives the same response.
    """
    key = services().access.service.revoke(key_id, current_principal.get(), force=query_data.force)
    return answer(key, message="revoked")


@auth.post("/keys/<key_id>/rotate")
@auth.input(RotateKey)
@auth.output(envelope_of(NewKey), status_code=201)
@auth.doc(responses=[400, 404, 409, 415, 422, 503])
@body_is_optional
@idempotent
def rotate_key(key_id: str, json_data: RotateKey) -> Response:
    """Replace a key.

    The new key has the same permissions and lifetime; `api_key` is shown only in this response. The old key and its
    sessions stay valid for `overlap_seconds`. 409 `key_ended` if the key was replaced or revoked, or has expired.
    """
    access, by = services().access.service, current_principal.get()
    successor = None if earlier_result() is None else access.get(key_id).rotated_to
    if successor is not None:
        return _created(access.reissue(successor, by))
    return _created(access.rotate(key_id, json_data.overlap_seconds, by))


@auth.get("/whoami")
@auth.output(envelope_of(WhoAmI))
@auth.doc(responses=[401])
def get_whoami() -> Response:
    """Get the current user and their permissions.

    With `AUTH=off` every caller has all permissions; `auth` has the mode.
    """
    return answer(services().access.service.who_am_i(current_principal.get()), headers=_NO_STORE)


@auth.post("/login")
@auth.input(LogIn)
@auth.output(envelope_of(WhoAmI))
@auth.doc(responses=[400, 401, 415, 422, 503])
def log_in(json_data: LogIn) -> Response:
    """Sign in to the page with a key.

    Sets the cookie `dp_session` for 12 h, or until the key ends. Scripts cannot read it, and pages of other sites
    cannot send it. A wrong, expired or revoked key is 401 with the reason. The browser's previous session ends.
    """
    before = current_principal.get()
    cookie, who = services().access.service.log_in(json_data.key)
    services().access.service.log_out(before)
    response = answer(who, message="signed in", headers=_NO_STORE)
    set_session_cookie(response, cookie)
    return response


def set_session_cookie(response: Response, cookie: str) -> None:
    """Set the cookie of a session: unreadable for scripts, not sent by pages of other sites."""
    response.set_cookie(
        SESSION_COOKIE, cookie, max_age=SESSION, path="/", secure=request.is_secure, httponly=True, samesite="Strict"
    )


@auth.post("/logout")
@auth.output(envelope_of(None, "LoggedOut"))
@auth.doc(responses=[503])
def log_out() -> Response:
    """Sign out.

    Ends the session of the cookie with its streams, and deletes the cookie. The request has no body.
    """
    services().access.service.log_out(current_principal.get())
    response = answer(None, message="signed out", headers=_NO_STORE)
    response.delete_cookie(SESSION_COOKIE, path="/", secure=request.is_secure, httponly=True, samesite="Strict")
    return response


@auth.post("/ticket")
@auth.output(envelope_of(Ticket))
@auth.doc(responses=[503])
def create_ticket() -> Response:
    """Create a ticket for one stream.

    For an EventSource or WebSocket of a page on another origin, which can send neither key nor cookie. It is valid
    once, for 30 s. The request has no body.
    """
    return answer(services().access.service.make_ticket(current_principal.get()), headers=_NO_STORE)


@auth.get("/users")
@auth.output(envelope_of(UserList))
@auth.doc(responses=[401, 403])
def list_users() -> Response:
    """List users by name.

    With their quotas and the number of their active keys.
    """
    return answer({"users": services().access.service.get_users()})


@auth.patch("/users/<user_id>")
@auth.input(ChangeUser)
@auth.output(envelope_of(UserView))
@auth.doc(responses=[400, 404, 415, 422, 503])
def change_user(user_id: str, json_data: ChangeUser) -> Response:
    """Change a user's quota.

    Given bounds replace the present ones; null removes a bound.
    """
    return answer(services().access.service.change_quota(user_id, json_data.quota.changes()))


audit = APIBlueprint("audit", __name__, url_prefix=f"{BASE_PATH}/auth/audit", tag="Access")


@audit.get("")
@audit.input(AuditQuery, location="query")
@audit.output(envelope_of(AuditPage, "Audit"))
@audit.doc(responses=[422, 503])
def list_audit(query_data: AuditQuery) -> Response:
    """List audit entries, newest first.

    Each change has its values before and after, each refusal its code; both have the actor, key, address and request
    id. Frequent operations have one row per minute with a `count`.
    """
    parts, query = services(), query_data
    page = parts.access.audit.get_page(query.wanted(parts.clock.now()), query.operation, query.page())
    return answer({"entries": page.rows, "pagination": page.pagination})


@audit.get("/verify")
@audit.input(VerifyQuery, location="query")
@audit.output(envelope_of(ChainVerdict, "Verify"))
@audit.doc(responses=[422, 503])
def verify_audit(query_data: VerifyQuery) -> Response:
    """Verify that the audit was not modified.

    Each row contains a hash of itself and of the previous row. `ok` is false if a row was changed, removed, inserted or
    moved; `bad_id` and `problem` have the details. A long audit is verified in parts: continue with `next_cursor`.
    """
    return answer(services().access.audit.verify(query_data.after(), query_data.known()))
