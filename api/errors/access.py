"""What can go wrong about who asks, and what they may do."""

from typing import Any

from api.errors.base import Conflict, NotFound, ServiceError, Unavailable


class Unauthenticated(ServiceError):
    """A key is needed: send it as `Authorization: Bearer dp_…`."""

    code, status = "unauthenticated", 401
    is_refusal = True

    def __init__(self, detail: str | None = None, *, data: Any = None) -> None:
        """Says in the answer's WWW-Authenticate which way to authenticate is taken."""
        super().__init__(detail, data=data, headers={"WWW-Authenticate": "Bearer"})


class WrongKey(Unauthenticated):
    """This key is not known here."""

    code = "wrong_key"


class SessionEnded(WrongKey):
    """This sign-in has ended: sign in again."""

    code = "session_ended"


class WrongTicket(WrongKey):
    """This ticket opens nothing: it was used, has expired, or is shown where none is taken."""

    code = "wrong_ticket"


class SignInFailed(Unauthenticated):
    """Signing in failed."""

    code = "sign_in_failed"


class KeyExpired(Unauthenticated):
    """This key has expired: ask for a new one."""

    code = "key_expired"


class KeyRevoked(Unauthenticated):
    """This key was revoked."""

    code = "key_revoked"


class KeyInAddress(ServiceError):
    """A key was sent in the address, where logs and histories keep it: send it in a header, and have it replaced."""

    code, status = "key_in_address", 400
    is_refusal = True


class Forbidden(ServiceError):
    """The key does not permit this."""

    code, status = "forbidden", 403
    is_refusal = True


class NotYours(Forbidden):
    """This belongs to somebody else."""

    code = "not_yours"


class CrossSite(Forbidden):
    """A browser's sign-in counts for requests of this service's own page only."""

    code = "cross_site"


class KeyNotFound(NotFound):
    """No key has this id."""

    code = "key_not_found"


class UserNotFound(NotFound):
    """Nobody has this name."""

    code = "user_not_found"


class KeyEnded(Conflict):
    """The key has expired, was revoked, or was replaced by another."""

    code = "key_ended"


class LastAdministrator(Conflict):
    """This is the only key that may do everything: make another one first, or say `force`."""

    code = "last_administrator"


class QuotaExceeded(Conflict):
    """This is more than the user's quota permits."""

    code = "quota_exceeded"
    is_refusal = True


class RateLimited(ServiceError):
    """There were more requests of this kind than the limit permits: ask again later."""

    code, status = "rate_limited", 429
    is_refusal = True


class KeysUnknown(Unavailable):
    """The keys cannot be checked: the database has not answered for more than a minute."""

    code = "keys_unknown"
