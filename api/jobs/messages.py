"""Messages of the service's own programs: a program prints one JSON object per line, and the service reads it.

    {"dp": "progress", "step": 3, "total": 10, "percent": 41.3, "seconds_left": 75, "message": "3 of 10 files, ..."}
    {"dp": "warning", "message": "The connection to the hub failed. It is tried again."}
    {"dp": "failed", "cause": "disk_full", "reason": {"code": "...", "params": {}}, "message": "..."}

`message` is the text that the log page shows. A run that succeeds or stops ends with a phrase on a line of its own,
because supervisors look for whole lines. Lines that older programs print, and that stored logs contain, are read too.
"""

# ruff: noqa: T201 - standard output is how a program reports

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from api.domain.reason import Reason, ReasonCode, text_of
from api.jobs.errors import JobFailed

_PROGRESS = re.compile(r"(?:files|items): (\d{1,9}) of (\d{1,9}), (\d{1,3}\.\d) %, (\d{1,9}|-) s left", re.ASCII)
_ACTIVITY, _WARNING, _REASON = "doing: ", "problem: ", "reason: "

#: Version 1.0 named no cause.
_FAILED = re.compile(r"refused(?: \((?P<cause>[a-z_]{1,40})\))?: (?P<message>.*)", re.ASCII)

#: Characters of a line that are read.
_OLD_LINE_LIMIT = 4_096

#: The first characters of these lines.
_BEGINNINGS = frozenset("fidpr")

#: The beginning of every message.
MARK = '{"dp": '

#: The beginning of a progress message; the number of finished items follows.
STEP_PREFIX = f'{MARK}"progress", "step": '

#: Limits of a line and of its text, in characters.
_LINE_LIMIT, _TEXT_LIMIT = 16_000, 600

#: The limit of a reason's JSON in characters; a longer one is left out.
_REASON_LIMIT = 4_000

#: The largest number in a message.
_LARGEST = 999_999_999
N = TypeVar("N", int, float)


def read_old_line(line: str) -> dict[str, Any] | None:
    """Return the fields of the equivalent JSON message, or None for any other line.

    Raises ValueError or RecursionError for a damaged reason.
    """
    if line[:1] not in _BEGINNINGS:
        return None
    line = line[:_OLD_LINE_LIMIT]
    if line.startswith(_ACTIVITY):
        return {"dp": "activity", "message": line[len(_ACTIVITY) :]}
    if line.startswith(_WARNING):
        return {"dp": "warning", "message": line[len(_WARNING) :]}
    if line.startswith(_REASON):
        return {"dp": "reason", "reason": json.loads(line[len(_REASON) :])}
    if (failed := _FAILED.match(line)) is not None:
        return {"dp": "failed", **failed.groupdict()}
    if (found := _PROGRESS.fullmatch(line)) is not None:
        done, total, percent, left = found.groups()
        seconds_left = None if left == "-" else float(left)
        return {
            "dp": "progress",
            "step": int(done),
            "total": int(total),
            "percent": float(percent),
            "seconds_left": seconds_left,
        }
    return None


class MessageKind(StrEnum):
    """What a message is about."""

    PROGRESS = "progress"
    ACTIVITY = "activity"  #: the item at work; also a sign of life
    WARNING = "warning"  #: something failed, but the work continues
    FAILED = "failed"  #: why the program ends
    REASON = "reason"  #: the code of the failure in the next line; only programs before 1.1 print it


@dataclass(frozen=True, slots=True)
class JobMessage:
    """A message as it was read."""

    kind: MessageKind
    text: str
    step: int = 0  #: finished items
    total: int = 0
    percent: float = 0.0
    seconds_left: float | None = None
    cause: str | None = None  #: of a failure; a value of CauseCode
    reason: ReasonCode | None = None


def report_progress(unit: str, done: int, total: int, percent: float, seconds_left: float | None) -> None:
    """Print how many items, of this unit in the plural, are finished."""
    left = None if seconds_left is None else round(min(seconds_left, _LARGEST))
    text = f"{done} of {total} {unit}, {percent:.1f} %" + ("" if left is None else f", {left} s left")
    _print("progress", text, step=done, total=total, percent=round(percent, 1), seconds_left=left)


def report_activity(text: str) -> None:
    """Print what the program works on."""
    _print("activity", text)


def report_warning(text: str) -> None:
    """Print a problem that does not end the program."""
    _print("warning", text)


def report_failure(failure: JobFailed) -> None:
    """Print why the program ends."""
    code = failure.message.said if isinstance(failure.message, Reason) else None
    reason = None if code is None else {"code": code.code, "params": code.params}
    if len(json.dumps(reason)) > _REASON_LIMIT:
        reason = None
    _print("failed", text_of(failure.message), cause=failure.cause, reason=reason)


def quote_name(name: str) -> str:
    """Return a file name in quotes, on one line and at most 200 characters long."""
    return json.dumps(name[:200], ensure_ascii=False)


def _print(kind: str, text: str, **fields: Any) -> None:
    line = json.dumps({"dp": kind, **fields, "message": _one_line(text)}, ensure_ascii=False)
    print(line.encode(errors="replace").decode(), flush=True)


def _one_line(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in " ".join(text.split())[:_TEXT_LIMIT])


def read_message(line: str) -> JobMessage | None:
    """Return the message in a line of output, also of a program of an older version; None if it has none."""
    try:
        if not line.startswith(MARK):
            fields = read_old_line(line)
            return None if fields is None else _parse(fields)
        return _parse(json.loads(line)) if len(line) <= _LINE_LIMIT else None
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None


def _parse(fields: Mapping[str, Any]) -> JobMessage:
    left, reason = fields.get("seconds_left"), fields.get("reason")
    return JobMessage(
        MessageKind(fields["dp"]),
        _one_line(fields.get("message", "")),
        _bounded(fields.get("step", 0)),
        _bounded(fields.get("total", 0)),
        min(100.0, _bounded(fields.get("percent", 0.0))),
        None if left is None else float(_bounded(left)),
        fields.get("cause"),
        None if reason is None else _reason(reason),
    )


def _reason(fields: Mapping[str, Any]) -> ReasonCode:
    code, params = fields["code"], fields["params"]
    if not isinstance(code, str) or not isinstance(params, dict):
        raise TypeError("this is no reason")
    return ReasonCode(code, params)


def _bounded(number: N) -> N:
    """Return the number. Raise ValueError if it is negative, not finite or too large."""
    if not 0 <= number <= _LARGEST:
        raise ValueError(number)
    return number
