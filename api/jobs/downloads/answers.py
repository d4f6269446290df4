"""Answers of servers that are not files: whether another try can help, and the server's own reason for a refusal."""

import json
from email.message import Message
from email.utils import collapse_rfc2231_value

import httpx

from api.domain.cause import CauseCode
from api.domain.reason import Reason, Words
from api.jobs.downloads.names import read_count
from api.jobs.downloads.refusal import DownloadRefused
from api.jobs.downloads.waiting import LONGEST_WAIT
from api.util.masking import mask_secrets

#: Answers that another try may better.
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})

#: Characters of Content-Disposition that are read.
_MOST_DISPOSITION = 2048

#: Bytes of a refusal's body that are read, and characters of its reason that are shown.
_MOST_BODY, _MOST_REASON = 16 * 1024, 300


def judge_answer(name: str, response: httpx.Response) -> tuple[Words, float | None] | None:
    """What is wrong with the answer to a request for a file, if another try may help; None if nothing is.

    Raises DownloadRefused if no other try can help.
    """
    status = response.status_code
    if status in (200, 206, 416):
        return None
    if status in RETRIED:
        return Reason.of("the server answers {status}", "download_answers", status=status), _retry_after(response)
    if status in (401, 403):
        is_gated = response.headers.get("x-error-code") == "GatedRepo"
        raise DownloadRefused(
            _needs_token(name, status, read_reason(response)),
            CauseCode.GATED if is_gated else CauseCode.UNAUTHORIZED,
        )
    said = read_reason(response)
    told = (
        Reason.of(
            "The server answers {status} for {name}, and says: {said}",
            "download_refused_with",
            status=status,
            name=name,
            said=said,
        )
        if said
        else Reason.of("The server answers {status} for {name}.", "download_refused_by", status=status, name=name)
    )
    raise DownloadRefused(told, CauseCode.NOT_FOUND if status in (404, 410) else CauseCode.NETWORK)


def _needs_token(name: str, status: int, said: str) -> Reason:
    if said:
        return Reason.of(
            "The server answers {status} for {name}, and says: {said} Set a token of an account that may download it.",
            "download_unauthorized_with",
            status=status,
            name=name,
            said=said,
        )
    return Reason.of(
        "The server answers {status} for {name}: it needs a token. Give one as `token`, of an account that may"
        " download it; the licence of a gated repository has to be accepted first.",
        "download_needs_token",
        status=status,
        name=name,
    )


def read_reason(response: httpx.Response) -> str:
    """The reason that a server gives for a refusal, as a sentence; empty if it gives none. Raises httpx.HTTPError."""
    text = response.headers.get("x-error-message") or _reason_in(_body(response))
    asked = [each.request for each in (*response.history, response)]
    keys = [key for each in asked for key in each.headers.get("authorization", "").split()[1:]]
    plain = quote(text, *keys, *(value for each in asked for value in each.url.params.values()))
    return plain and plain.rstrip(".!") + "."


def quote(text: str, *secrets: str) -> str:
    """A foreign text on one line, bounded, and without these secrets."""
    plain = " ".join("".join(each if each.isprintable() else " " for each in text[:_MOST_BODY]).split())
    return mask_secrets(plain, [each for each in secrets if len(each) >= 8])[:_MOST_REASON]


def _body(response: httpx.Response) -> bytes:
    body = b""
    for part in response.iter_raw():
        body += part
        if len(body) > _MOST_BODY:
            break
    return body


def _reason_in(body: bytes) -> str:
    """The message in a JSON object, as civitai and most APIs write it; a page or another text is not shown."""
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
    """The file name that Content-Disposition gives, without directories; None if it gives none."""
    header = Message()
    header["Content-Disposition"] = response.headers.get("content-disposition", "")[:_MOST_DISPOSITION]
    given = header.get_params((), "Content-Disposition")
    # `filename*` (RFC 6266), which the library gives as a tuple, goes before `filename`.
    found = sorted((value for key, value in given if key == "filename"), key=lambda value: isinstance(value, str))
    name = collapse_rfc2231_value(found[0]) if found else ""
    return name.replace("\\", "/").rpartition("/")[2].strip() or None
