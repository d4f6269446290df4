"""Errors of keys, sign-ins, permissions and quotas."""

from typing import Any

from api.errors.base import Conflict, NotFound, ServiceError, Unavailable


class Unauthenticated(ServiceError):
    """A request without a key where one is required."""

    code, status = "unauthenticated", 401
    message = "A key is required. Send it as `Authorization: Bearer dp_…`."
    is_refusal = True

    def __init__(self, detail: str | None = None, *, data: Any = None) -> None:
        """Name the scheme in the answer's WWW-Authenticate."""
        super().__init__(detail, data=data, headers={"WWW-Authenticate": "Bearer"})


class WrongKey(Unauthenticated):
    """A key that this service has not issued."""

    code = "wrong_key"
    message = "This key is unknown. Copy all of it, from dp_ to its end."


class SessionEnded(WrongKey):
    """A cookie of a sign-in that has ended."""

    code = "session_ended"
    message = "This sign-in has ended. Sign in again."


class WrongTicket(WrongKey):
    """A ticket that was used before, has expired, or belongs to another address."""

    code = "wrong_ticket"
    message = "This ticket is not valid: it was used, has expired, or belongs to another address. Request a new one."


class SignInFailed(Unauthenticated):
    """A sign-in by OpenID Connect that did not succeed."""

    code = "sign_in_failed"
    message = "Signing in failed. Try again."


class KeyExpired(Unauthenticated):
    """A key after its `expires_at`."""

    code = "key_expired"
    message = "This key has expired. Ask an administrator for a new one."


class KeyRevoked(Unauthenticated):
    """A key that its owner or an administrator revoked."""

    code = "key_revoked"
    message = "This key was revoked. Ask an administrator for a new one."


class KeyInAddress(ServiceError):
    """A key in the path or the query of a request."""

    code, status = "key_in_address", 400
    message = (
        "A key was sent in the address, where logs and histories store it. Send it in a header, and replace the key."
    )
    is_refusal = True


class Forbidden(ServiceError):
    """A valid key without the permission that the operation needs."""

    code, status = "forbidden", 403
    message = "The key does not permit this. Ask an administrator for a key that does."
    is_refusal = True


class NotYours(Forbidden):
    """A change to something that belongs to another user."""

    code = "not_yours"
    message = "This belongs to another user. Only its owner and administrators may change it."


class CrossSite(Forbidden):
    """A request with a sign-in's cookie from a page of another site."""

    code = "cross_site"
    message = (
        "A browser's sign-in is valid only for requests from this service's own page. "
        "Open that page, or send a key in a header."
    )


class KeyNotFound(NotFound):
    """An id that belongs to no key."""

    code = "key_not_found"
    message = "No key has this id. List the keys to find the right one."


class UserNotFound(NotFound):
    """A user for whom no key was ever made."""

    code = "user_not_found"
    message = "No user has this name. Create a key for the user first."


class KeyEnded(Conflict):
    """A change to a key that is no longer valid, or an id that another key has."""

    code = "key_ended"
    message = "The key has expired, was revoked, or was replaced by another. Create a new one."


class LastAdministrator(Conflict):
    """The end of the only key that has all permissions."""

    code = "last_administrator"
    message = "This is the only key that may do everything. Create another one first, or send `force`."


class QuotaExceeded(Conflict):
    """A request that exceeds its user's quota."""

    code = "quota_exceeded"
    message = "The request exceeds the user's quota. Request less, or ask an administrator for a higher quota."
    is_refusal = True


class RateLimited(ServiceError):
    """A request above the rate limit of its group."""

    code, status = "rate_limited", 429
    message = "There were more requests of this kind than the limit permits. Try again later."
    is_refusal = True


class KeysUnknown(Unavailable):
    """A request while the database that holds the keys has been silent for too long."""

    code = "keys_unknown"
    message = "The keys cannot be checked: the database has not answered for more than a minute. Try again later."
