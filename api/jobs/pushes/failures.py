"""Errors of the hub: their explanation, and whether a retry can help.

Messages contain neither the token nor more of a URL than its host, because URLs may be signed.
"""

import errno
from contextlib import suppress
from typing import Any

import httpx
from huggingface_hub.errors import HFValidationError

from api.jobs.downloads.answers import LONGEST_WAIT, quote
from api.jobs.downloads.request import read_count
from api.jobs.pushes.request import PushRequest
from api.util.http.addresses import PrivateAddress

#: Statuses after which a retry can succeed. 409 and 412 mean that another client has just committed.
_RETRIED = frozenset({408, 409, 412, 425, 429, 500, 502, 503, 504})

#: Statuses after which the hub's library would wait by itself, without checking for a stop.
_LIBRARY_RETRIED = frozenset({408, 429, 500, 502, 503, 504})

_BUSY = "Another client is changing {repository} (the hub answers {status})."
_STATUSES = {
    401: "The hub does not know the token. Set one of an account that may write to {repository}.",
    403: "The token may not write to {repository}. Set one with write access.",
    409: _BUSY,
    412: _BUSY,
    413: "The hub does not accept a file of this size, or the account's storage is used up.",
    429: "The hub received too many requests from this account (429).",
}


class HubTrouble(Exception):
    """The hub is unreachable or busy. `response` is its answer, if any."""

    def __init__(self, message: str, response: httpx.Response | None = None) -> None:
        super().__init__(message)
        self.response = response


class SingleTryClient(httpx.Client):
    """A client that prevents retries by the hub's library, because `Publisher` decides on retries."""

    def send(self, request: httpx.Request, **how: Any) -> httpx.Response:
        """Send a request and return the answer. Raises HubTrouble where the library would retry."""
        try:
            response = super().send(request, **how)
        except httpx.TransportError as error:
            raise HubTrouble(type(error).__name__) from None
        if response.status_code in _LIBRARY_RETRIED:
            response.close()
            raise HubTrouble(f"answer {response.status_code}", response)
        return response


def status_of(error: BaseException) -> int | None:
    """Return the status of an error's response; None without a response."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def is_final(error: BaseException) -> bool:
    """Return whether a retry cannot help."""
    status = status_of(error)
    if status is not None:
        return status not in _RETRIED
    if isinstance(error, PrivateAddress | HFValidationError | httpx.InvalidURL):
        return True
    if isinstance(error, OSError) and not isinstance(error, httpx.HTTPError):
        return error.errno in (errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, ValueError)


def requested_wait(error: BaseException) -> float | None:
    """Return the seconds that the hub requests before a retry; None without such a request."""
    text = ""
    with suppress(AttributeError):
        text = str(error.response.headers.get("retry-after", ""))  # type: ignore[attr-defined]
    seconds = read_count(text, digits=5)
    return None if seconds is None else min(float(seconds), LONGEST_WAIT)


def explain(error: BaseException, request: PushRequest, token: str) -> str:
    """Return a sentence with the problem and what to do."""
    status = status_of(error)
    if status is not None:
        message = _STATUSES.get(status, "The hub answers {status} for {repository}.")
        return message.format(status=status, repository=request.repository) + _quote_reason(error, token)
    if isinstance(error, PrivateAddress):
        return f"{error}."
    if isinstance(error, HFValidationError):
        return f"{request.repository!r} is not a repository name."
    if isinstance(error, HubTrouble):
        return f"The connection to the hub at {request.endpoint} failed ({error})."
    if isinstance(error, OSError) and not isinstance(error, httpx.HTTPError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"There is too little disk space for the push's state file: {error.strerror}."
        return f"A file cannot be read: {error.strerror or type(error).__name__}."
    return f"The hub's answer cannot be understood ({type(error).__name__})."


def _quote_reason(error: BaseException, token: str) -> str:
    """Return the hub's reason on one line, without the token; empty without one."""
    response = getattr(error, "response", None)
    plain = quote(str(response.headers.get("x-error-message", "")), token) if response is not None else ""
    return f" Its reason: {plain}" if plain else ""
