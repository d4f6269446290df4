"""The errors of any request, and what all errors have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a request: a JSON pointer to it ("/gpu_ids/0"), what is wrong there, and what to do about it.

    `code` is a stable word for the message, where there is one, and `params` are the values that the message names.
    `about` names all files or items that a finding about a dataset is about; the message names only some.
    """

    pointer: str
    message: str
    remedy: str | None = None
    code: str | None = None
    params: Mapping[str, Any] | None = field(default=None, compare=False)
    about: tuple[str, ...] = field(default=(), compare=False)


class ServiceError(Exception):
    """Something went wrong inside the service."""

    code = "internal_error"  #: the stable word that clients compare
    status = 500  #: the HTTP status
    is_refusal = False  #: somebody may not do what they asked for: the audit keeps it

    def __init__(
        self,
        detail: str | None = None,
        *,
        data: Any = None,
        mistakes: Sequence[Mistake] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        """`detail` is the message, by default the class's docstring; `data` is what helps the caller to go on."""
        self.detail = detail or (type(self).__doc__ or "").strip()
        super().__init__(self.detail)
        self.data = data
        self.mistakes = tuple(mistakes)
        self.headers = headers or {}


class MalformedRequest(ServiceError):
    """The request cannot be read."""

    code, status = "malformed_request", 400


class InvalidPattern(ServiceError):
    """The pattern is no regular expression that RE2 takes."""

    code, status = "invalid_pattern", 400


class HostNotAllowed(ServiceError):
    """The Host header names a machine that this service does not answer for."""

    code, status = "host_not_allowed", 403
    is_refusal = True


class OriginNotAllowed(ServiceError):
    """A page of another origin may not use this service."""

    code, status = "origin_not_allowed", 403
    is_refusal = True


class NotFound(ServiceError):
    """There is nothing at this address: /docs shows every address that there is."""

    code, status = "not_found", 404


class MethodNotAllowed(ServiceError):
    """This address does not take this method: the header Allow names those that it takes."""

    code, status = "method_not_allowed", 405


class RequestTimeout(ServiceError):
    """The request did not arrive in time."""

    code, status = "request_timeout", 408


class Conflict(ServiceError):
    """The request contradicts the present state."""

    code, status = "conflict", 409


class RequestInProgress(Conflict):
    """A request with this Idempotency-Key is still being worked on; ask again."""

    code = "request_in_progress"


class TooLarge(ServiceError):
    """The request body is larger than this service takes."""

    code, status = "body_too_large", 413


class UnsupportedMediaType(ServiceError):
    """The body must be JSON: send Content-Type: application/json."""

    code, status = "unsupported_media_type", 415


class Invalid(ServiceError):
    """The request is well-formed, but some of its values are not valid."""

    code, status = "validation_failed", 422


class IdempotencyKeyReused(ServiceError):
    """This Idempotency-Key was used before with another body: send a new request with a new key."""

    code, status = "idempotency_key_reused", 422


class HeadersTooLarge(ServiceError):
    """The request's headers are larger than this service takes."""

    code, status = "headers_too_large", 431


class RangeNotSatisfiable(ServiceError):
    """The range lies outside of the file."""

    code, status = "range_not_satisfiable", 416


class InsufficientStorage(ServiceError):
    """There is too little free disk space."""

    code, status = "insufficient_storage", 507


class DatabaseUnavailable(ServiceError):
    """The database does not answer; nothing was changed. Ask again."""

    code, status = "database_unavailable", 503


class StorageGone(DatabaseUnavailable):
    """What this service keeps has been moved, deleted or replaced under it; nothing was changed."""

    code = "storage_gone"


class DatabaseDamaged(DatabaseUnavailable):
    """The database is damaged; nothing was changed. Restore it from a backup."""

    code = "database_damaged"


class StorageFull(DatabaseUnavailable):
    """The disk of the database is full; nothing was changed."""

    code = "storage_full"


class Unavailable(ServiceError):
    """The service cannot answer this now."""

    code, status = "unavailable", 503


class TooManyStreams(ServiceError):
    """There are too many live streams."""

    code, status = "too_many_streams", 503


class SearchBusy(Unavailable):
    """As many searches are running as are allowed at a time: ask again in a moment."""

    code = "search_busy"


class CheckBusy(Unavailable):
    """As many requests are being checked as are allowed at a time: ask again in a moment."""

    code = "check_busy"
