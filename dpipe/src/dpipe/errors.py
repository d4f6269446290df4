"""The exceptions of the client. Programs compare `code`, never texts."""

from collections.abc import Mapping
from typing import Any


class DpipeError(Exception):
    """A failure that the service reported, or that kept the client from reaching it."""

    def __init__(
        self,
        message: str,
        *,
        code: str = "error",
        remedy: str | None = None,
        status: int | None = None,
        details: Any = None,
        errors: list[dict[str, Any]] | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Take the answer's `data` as `details`; `errors` are mistakes of a request with `pointer` and `message`."""
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy
        self.status = status
        self.details = details
        self.errors = errors or []
        self.request_id = request_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        """Return the message, each mistake on a line of its own, and the remedy."""
        mistakes = [f"  {each.get('pointer') or '/'}: {each.get('message')}" for each in self.errors]
        remedies = [] if self.remedy is None else [self.remedy]
        return "\n".join([self.message, *mistakes, *remedies])


class BadAnswer(DpipeError):
    """What answers is not the service, or its answer is damaged."""


class Conflict(DpipeError):
    """409: the state of a task, GPU or dataset does not allow it."""


class Forbidden(DpipeError):
    """403: the key lacks the permission."""


class Insufficient(DpipeError):
    """507: this machine can never serve the request."""


class Invalid(DpipeError):
    """400, 413, 415, 422: the request has mistakes, which `errors` lists."""


class NotFound(DpipeError):
    """404: what the request names does not exist, or the key may not see it."""


class RateLimited(DpipeError):
    """429: the key has used its requests; `retry_after` has the seconds to wait."""


class ServerError(DpipeError):
    """500 and above: the service failed, or is unavailable."""


class TimedOut(DpipeError, TimeoutError):
    """The time that the caller allowed is over."""


class Unauthorized(DpipeError):
    """401: there is no key, or it is wrong."""


class Unreachable(DpipeError):
    """There is no connection to the server."""


_CLASSES: Mapping[int, type[DpipeError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    429: RateLimited,
    507: Insufficient,
}

_REMEDIES: Mapping[int, str] = {
    401: "Set DPIPE_KEY, or run `dpipe login`.",
    403: "Use a key with that permission: `dpipe login`.",
}


def error_of(status: int, body: Any, retry_after: float | None = None) -> DpipeError:
    """Return the exception of an answer with the service's envelope. Raise BadAnswer if it has another form."""
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict) or not isinstance(error.get("code"), str):
        raise bad_answer(f"HTTP status {status} without the service's form")
    mistakes = [each for each in error.get("errors") or [] if isinstance(each, dict)]
    remedies = [each["remedy"] for each in mistakes if isinstance(each.get("remedy"), str)]
    return _CLASSES.get(status, ServerError if status >= 500 else Invalid)(
        str(error.get("detail") or body.get("message") or error["code"]),
        code=error["code"],
        remedy=" ".join(dict.fromkeys(remedies)) or _REMEDIES.get(status),
        status=status,
        details=body.get("data"),
        errors=mistakes,
        request_id=error.get("request_id"),
        retry_after=retry_after,
    )


def bad_answer(what: str) -> BadAnswer:
    """Return the exception for an answer that the service would not give."""
    remedy = "Check the address (DPIPE_URL): another program may answer there."
    return BadAnswer(f"The answer is not of Diffusion-Pipe API: {what}.", code="bad_answer", remedy=remedy)


def unreachable(url: str, why: Exception | str) -> Unreachable:
    """Return the exception for a server without a connection."""
    reason = str(why).rstrip(".") or type(why).__name__
    remedy = "Start the server (`make background`), or set DPIPE_URL to its address."
    return Unreachable(f"No answer from {url}: {reason}.", code="unreachable", remedy=remedy)
