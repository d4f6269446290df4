"""Answers of servers to requests for files: errors, retries and the waits before them, reasons, file names."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from email.utils import collapse_rfc2231_value

import httpx

from api.domain.reason import Reason, ReasonOrText
from api.domain.tasks.cause import CauseCode
from api.jobs.downloads.request import read_count
from api.jobs.errors import JobFailed, stop_if
from api.util.text.masking import mask_secrets

#: The first and the longest wait between two tries, in seconds. It doubles each time.
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0

#: Seconds of waiting without progress after which a transfer fails. Short outages of a hub should not end one.
PATIENCE_SECONDS = 300.0

#: Statuses after which a retry can succeed.
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})

#: Reasons of the hub, by its X-Error-Code. Its own sentences are in English only.
_HUB_REASONS = {
    "GatedRepo": Reason.of("The licence of the repository must be accepted first.", "hub_gated"),
    "RepoNotFound": Reason.of("The repository does not exist, or the token may not read it.", "hub_no_repository"),
    "RevisionNotFound": Reason.of("The repository has no such branch, tag or commit.", "hub_no_revision"),
    "EntryNotFound": Reason.of("The repository has no such file.", "hub_no_file"),
}

#: The limit of Content-Disposition in characters.
_MAX_DISPOSITION = 2048

#: The limits of an error's body in bytes, and of its reason in characters.
_MAX_BODY, _MAX_REASON = 16 * 1024, 300


def wait(seconds: float, is_stopping: Callable[[], bool], sleep: Callable[[float], None]) -> None:
    """Wait, and check in between whether to stop. Raises StopRequested."""
    left = seconds
    while True:
        stop_if(is_stopping)
        if left <= 0:
            return
        sleep(min(left, 0.5))
        left -= 0.5


@dataclass(slots=True)
class Patience:
    """The waits between the tries of one transfer, limited by their total time. Progress resets it."""

    is_stopping: Callable[[], bool]
    sleep: Callable[[float], None]
    _waited: float = 0.0
    _next: float = FIRST_WAIT

    @property
    def is_exhausted(self) -> bool:
        """Whether the waits without progress have reached the limit."""
        return self._waited >= PATIENCE_SECONDS

    def note_progress(self) -> None:
        """Reset the waits."""
        self._waited, self._next = 0.0, FIRST_WAIT

    def wait(self, requested: float | None = None) -> None:
        """Wait for the next try, at least as long as the server requested. Raises StopRequested."""
        seconds = max(self._next, requested or 0.0)
        wait(seconds, self.is_stopping, self.sleep)
        self._waited += seconds
        self._next = min(self._next * 2, LONGEST_WAIT)


def judge_answer(name: str, response: httpx.Response) -> tuple[ReasonOrText, float | None] | None:
    """Return the problem of an answer and the seconds until a retry, or None for a good answer.

    Raises JobFailed if a retry cannot help.
    """
    status = response.status_code
    if status in (200, 206, 416):
        return None
    if status in RETRIED:
        return Reason.of("the server answers {status}", "download_answers", status=status), _retry_after(response)
    code = response.headers.get("x-error-code", "")
    reason = _HUB_REASONS.get(code) or read_reason(response)
    if status in (401, 403):
        cause = CauseCode.GATED if code == "GatedRepo" else CauseCode.UNAUTHORIZED
        raise JobFailed(_needs_token(name, status, reason), cause)
    message = (
        Reason.of(
            "The server answers {status} for {name}: {said}",
            "download_refused_with",
            status=status,
            name=name,
            said=reason,
        )
        if reason
        else Reason.of("The server answers {status} for {name}.", "download_refused_by", status=status, name=name)
    )
    raise JobFailed(message, CauseCode.NOT_FOUND if status in (404, 410) else CauseCode.NETWORK)


def _needs_token(name: str, status: int, reason: ReasonOrText) -> Reason:
    if reason:
        return Reason.of(
            "The server answers {status} for {name}: {said} Set a token of an account that may download it.",
            "download_unauthorized_with",
            status=status,
            name=name,
            said=reason,
        )
    return Reason.of(
        "The server answers {status} for {name}, which needs a token. Set `token` to one of an account that may"
        " download it. For a gated repository, accept its licence first.",
        "download_needs_token",
        status=status,
        name=name,
    )


def read_reason(response: httpx.Response) -> str:
    """Return the server's reason for an error as a sentence; empty without one. Raises httpx.HTTPError."""
    text = response.headers.get("x-error-message") or _reason_in(_body(response))
    requests = [each.request for each in (*response.history, response)]
    keys = [key for each in requests for key in each.headers.get("authorization", "").split()[1:]]
    plain = quote(text, *keys, *(value for each in requests for value in each.url.params.values()))
    return plain and plain.rstrip(".!") + "."


def quote(text: str, *secrets: str) -> str:
    """Return a foreign text on one line, shortened, and without these secrets."""
    plain = " ".join("".join(each if each.isprintable() else " " for each in text[:_MAX_BODY]).split())
    return mask_secrets(plain, [each for each in secrets if len(each) >= 8])[:_MAX_REASON]


def _body(response: httpx.Response) -> bytes:
    body = b""
    for part in response.iter_raw():
        body += part
        if len(body) > _MAX_BODY:
            break
    return body


def _reason_in(body: bytes) -> str:
    """Return the message of a JSON error, as civitai and most APIs send it; empty for other bodies."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    fields = found if isinstance(found, dict) else {}
    return next((text for key in ("message", "error", "detail") if isinstance(text := fields.get(key), str)), "")


def _retry_after(response: httpx.Response) -> float | None:
    seconds = read_count(response.headers.get("retry-after", ""), digits=5)
    return None if seconds is None else min(float(seconds), LONGEST_WAIT)


def name_in(response: httpx.Response) -> str | None:
    """Return the file name of Content-Disposition without directories; None without one."""
    header = Message()
    header["Content-Disposition"] = response.headers.get("content-disposition", "")[:_MAX_DISPOSITION]
    given = header.get_params((), "Content-Disposition")
    # `filename*` (RFC 6266), a tuple here, takes precedence over `filename`.
    found = sorted((value for key, value in given if key == "filename"), key=lambda value: isinstance(value, str))
    name = collapse_rfc2231_value(found[0]) if found else ""
    return name.replace("\\", "/").rpartition("/")[2].strip() or None
