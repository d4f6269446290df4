"""What went wrong between the program and the hub: in words, and whether another try can help.

Neither words of addresses beyond their host, which may be signed, nor the token are ever said.
"""

import errno
from contextlib import suppress
from typing import Any

import httpx
from huggingface_hub.errors import HFValidationError

from api.jobs.downloads.answers import quote
from api.jobs.downloads.names import read_count
from api.jobs.downloads.waiting import LONGEST_WAIT
from api.jobs.pushes.wish import PushWish
from api.util.addresses import PrivateAddress

#: Answers after which the same may be taken a moment later; 409 and 412: somebody else has just committed.
_RETRIED = frozenset({408, 409, 412, 425, 429, 500, 502, 503, 504})

#: Those of them that the hub's library would wait for by itself, and without an ear for being stopped.
_WAITED_FOR = frozenset({408, 429, 500, 502, 503, 504})

_BUSY = "Somebody else changes {repository} at the moment (the hub answers {status})."
_STATUSES = {
    401: "The hub does not know the token: give one of an account that may write to {repository}.",
    403: "The token may not write to {repository}: it needs write access there.",
    409: _BUSY,
    412: _BUSY,
    413: "The hub takes no file of this size, or the account's storage is used up.",
    429: "The hub has had too many requests from this account (429).",
}


class HubTrouble(Exception):
    """The hub cannot be reached, or asks to be asked later. `response` is its answer, if there was one."""

    def __init__(self, said: str, response: httpx.Response | None = None) -> None:
        super().__init__(said)
        self.response = response


class OneTry(httpx.Client):
    """A client by which the hub's library tries nothing twice: how often, and when, is decided in one place."""

    def send(self, request: httpx.Request, **how: Any) -> httpx.Response:
        """The answer to a request. Raises HubTrouble where the library would wait."""
        try:
            response = super().send(request, **how)
        except httpx.TransportError as error:
            raise HubTrouble(type(error).__name__) from None
        if response.status_code in _WAITED_FOR:
            response.close()
            raise HubTrouble(f"answer {response.status_code}", response)
        return response


def status_of(error: BaseException) -> int | None:
    """The status of the answer that an error is about; None when there was none."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def is_final(error: BaseException) -> bool:
    """Whether another try cannot help."""
    status = status_of(error)
    if status is not None:
        return status not in _RETRIED
    if isinstance(error, PrivateAddress | HFValidationError | httpx.InvalidURL):
        return True
    if isinstance(error, OSError) and not isinstance(error, httpx.HTTPError):
        return error.errno in (errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, ValueError)


def asked_wait(error: BaseException) -> float | None:
    """The seconds that the hub asks for before the next try; None when it does not say."""
    text = ""
    with suppress(AttributeError):
        text = str(error.response.headers.get("retry-after", ""))  # type: ignore[attr-defined]
    seconds = read_count(text, digits=5)
    return None if seconds is None else min(float(seconds), LONGEST_WAIT)


def explain(error: BaseException, wish: PushWish, token: str) -> str:
    """A sentence that says what went wrong, and what to do."""
    status = status_of(error)
    if status is not None:
        said = _STATUSES.get(status, "The hub answers {status} for {repository}.")
        return said.format(status=status, repository=wish.repository) + _said(error, token)
    if isinstance(error, PrivateAddress):
        return f"{error}."
    if isinstance(error, HFValidationError):
        return f"{wish.repository!r} is no name of a repository."
    if isinstance(error, HubTrouble):
        return f"The connection to the hub at {wish.endpoint} failed ({error})."
    if isinstance(error, OSError) and not isinstance(error, httpx.HTTPError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return f"There is too little disk space where the push notes how far it is: {error.strerror}."
        return f"A file cannot be sent: {error.strerror or type(error).__name__}."
    return f"The hub answers something that is not understood ({type(error).__name__})."


def _said(error: BaseException, token: str) -> str:
    """The hub's own reason, on one line and without the token; empty when it gives none."""
    response = getattr(error, "response", None)
    plain = quote(str(response.headers.get("x-error-message", "")), token) if response is not None else ""
    return f" It says: {plain}" if plain else ""
