"""The base class of all errors, and the errors that any request can cause."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from api.domain.reason import Reason, ReasonCode


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding: a JSON pointer into the request ("/gpu_ids/0"), what is wrong there, and how to fix it.

    `code` and `remedy_code` are stable identifiers of the texts, if they have one, and `params` are the values in them.
    `about` names all files or items that a finding about a dataset concerns; the message names only some.
    """

    pointer: str
    message: str
    remedy: str | None = None
    code: str | None = None
    params: Mapping[str, Any] | None = field(default=None, compare=False)
    about: tuple[str, ...] = field(default=(), compare=False)
    remedy_code: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class FindingText:
    """The text of a finding. It stands where the finding is made, and once for each code.

    `{name}` is a parameter, and `{name|one|many}` depends on whether it is 1. The Chinese text is `service.<code>` in
    the page's `zh.json`, and that of the remedy `service.<code>_remedy`.
    """

    code: str  #: stable identifier, which clients compare
    message: str
    remedy: str | None = None  #: None if there is none, or another one in each case


class ServiceError(Exception):
    """A failure that the service reports to the client; the base class stands for unexpected failures.

    A subclass with its own `code` must have its own `message`. A subclass without both is reported as its parent.
    """

    code = "internal_error"  #: the stable value that clients compare
    status = 500  #: the HTTP status
    message = "The service failed unexpectedly. Read its log for details."  #: what happened, then what to do
    is_refusal = False  #: the caller lacks the permission, so the audit records it

    def __init_subclass__(cls) -> None:
        """Raise TypeError for a class that has a code and no message."""
        super().__init_subclass__()
        if "code" in vars(cls) and "message" not in vars(cls):
            raise TypeError(f"{cls.__name__} has its own code, so it needs its own message")

    def __init__(
        self,
        detail: "Reason | str | None" = None,
        *,
        data: Any = None,
        mistakes: Sequence[Finding] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        """`detail` replaces the class's message; `data` helps the client to continue."""
        self.said: ReasonCode | None = None  #: the code of the detail, if it has one
        if detail is None or isinstance(detail, str):
            self.detail = detail or self.message
        else:
            self.detail, self.said = detail.text, detail.said
        super().__init__(self.detail)
        self.data = data
        self.mistakes = tuple(mistakes)
        self.headers = headers or {}


class MalformedRequest(ServiceError):
    """A request that cannot be parsed."""

    code, status = "malformed_request", 400
    message = "The request cannot be read. Correct its syntax."


class InvalidPattern(ServiceError):
    """A search pattern that RE2 rejects."""

    code, status = "invalid_pattern", 400
    message = "The pattern is not a regular expression that RE2 supports. Correct it."


class HostNotAllowed(ServiceError):
    """A request whose Host header is not in ALLOWED_HOSTS."""

    code, status = "host_not_allowed", 403
    message = (
        "The Host header names a host that this service does not serve. If it should, add the name to ALLOWED_HOSTS."
    )
    is_refusal = True


class OriginNotAllowed(ServiceError):
    """A request from a page whose origin is not in CORS_ORIGINS."""

    code, status = "origin_not_allowed", 403
    message = "Pages of this origin may not use this service. If they should, add the origin to CORS_ORIGINS."
    is_refusal = True


class NotFound(ServiceError):
    """An address or a resource that does not exist."""

    code, status = "not_found", 404
    message = "Nothing exists at this address. The page /docs lists all addresses."


class DirectoryNotFound(NotFound):
    """A directory of the server that does not exist, or that the caller may not list."""

    code = "directory_not_found"
    message = "This directory does not exist, or you may not list it. List the directories without a path first."


class MethodNotAllowed(ServiceError):
    """A method that the address does not support."""

    code, status = "method_not_allowed", 405
    message = "This address does not support this method. The header Allow lists those that it supports."


class RequestTimeout(ServiceError):
    """A request whose body takes too long to arrive."""

    code, status = "request_timeout", 408
    message = "The request did not arrive in time. Send it again."


class Conflict(ServiceError):
    """A request that contradicts the present state."""

    code, status = "conflict", 409
    message = "The request contradicts the present state. Read the state, then try again."


class SettingFixed(Conflict):
    """A change of a setting that the environment determines."""

    code = "setting_fixed"
    message = "The environment sets this setting. Change it there, and restart the service."


class RequestInProgress(Conflict):
    """A second request with an Idempotency-Key whose first one has no answer yet."""

    code = "request_in_progress"
    message = "A request with this Idempotency-Key is still in progress. Send it again in a moment."


class TooLarge(ServiceError):
    """A body above the limit of its route."""

    code, status = "body_too_large", 413
    message = "The request body is larger than this service accepts. Send a smaller one."


class UnsupportedMediaType(ServiceError):
    """A body whose media type or encoding the route does not accept."""

    code, status = "unsupported_media_type", 415
    message = "The body must be JSON. Send it with Content-Type: application/json."


class Invalid(ServiceError):
    """A request with values that are not valid; `mistakes` names each."""

    code, status = "validation_failed", 422
    message = (
        "The request is well-formed, but some of its values are not valid. Correct those that the listed errors name."
    )


class IdempotencyKeyReused(ServiceError):
    """An Idempotency-Key that was sent before with another body."""

    code, status = "idempotency_key_reused", 422
    message = "This Idempotency-Key was used before with another body. Send a new request with a new key."


class HeadersTooLarge(ServiceError):
    """A request whose headers exceed the limit."""

    code, status = "headers_too_large", 431
    message = "The request's headers are larger than this service accepts. Send fewer or shorter ones."


class RangeNotSatisfiable(ServiceError):
    """A Range header that lies outside the file."""

    code, status = "range_not_satisfiable", 416
    message = "The range lies outside the file. Request a range within the size that Content-Range gives."


class InsufficientStorage(ServiceError):
    """A request that needs more disk space than is free."""

    code, status = "insufficient_storage", 507
    message = "There is too little free disk space. Free some, then try again."


class DatabaseUnavailable(ServiceError):
    """A request that the database does not answer."""

    code, status = "database_unavailable", 503
    message = "The database does not answer; nothing was changed. Try again."


class StorageGone(DatabaseUnavailable):
    """A write after the storage or the database file was moved, deleted or replaced."""

    code = "storage_gone"
    message = (
        "The service's storage was moved, deleted or replaced; nothing was changed. "
        "Put it back, or restart the service."
    )


class DatabaseDamaged(DatabaseUnavailable):
    """A request that meets damage in the database file."""

    code = "database_damaged"
    message = "The database is damaged; nothing was changed. Restore it from a backup."


class StorageFull(DatabaseUnavailable):
    """A write to a database whose disk is full."""

    code = "storage_full"
    message = "The disk of the database is full; nothing was changed. Free some space, then try again."


class Unavailable(ServiceError):
    """A request that the service cannot answer for the moment."""

    code, status = "unavailable", 503
    message = "The service cannot answer this now. Try again later."


class TooManyStreams(ServiceError):
    """A new stream above the limit of open streams."""

    code, status = "too_many_streams", 503
    message = "There are too many live streams. Close some, or try again later."


class SearchBusy(Unavailable):
    """A search while the permitted number of searches is running."""

    code = "search_busy"
    message = "The permitted number of searches is running already. Try again in a moment."


class CheckBusy(Unavailable):
    """A check while the permitted number of checks is running."""

    code = "check_busy"
    message = "The permitted number of requests is being checked already. Try again in a moment."
