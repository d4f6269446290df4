"""What the program that downloads prints: its phrases, and the form of its lines, for all who read them."""

import json
import re
from typing import Any

from api.domain.reason import Reason, ReasonCode, Words

#: Phrases that each fill a line: everything is there; or it ends because it was asked to.
COMPLETED = "DOWNLOAD COMPLETE"
STOPPED = "Download stopped as it was asked to"

STEP_PREFIX = "files: "

#: How many files are there, how much of all bytes in percent, and the seconds that are left; `-` is not known.
STEP = re.compile(r"files: (\d{1,6}) of (\d{1,6}), (\d{1,3}\.\d) %, (\d{1,9}|-) s left", re.ASCII)

#: Why nothing more can be done about it, with its cause: the line before the end.
REFUSED = re.compile(r"refused(?: \((?P<cause>[a-z_]{1,40})\))?: (?P<said>.*)", re.ASCII)

#: The line before that: what it says, for who says it in another language. So many characters of it at most.
REASON, _MOST_REASON = "reason: ", 4_000

#: What is waited for, or tried again.
PROBLEM = "problem: "


def refusal_line(cause: str, said: str) -> str:
    """The line that says why nothing can come of it."""
    return f"refused ({cause}): {said}"


def reason_line(said: Words) -> str | None:
    """The line that goes before it, where it is a sentence of ours."""
    if not isinstance(said, Reason):
        return None
    line = REASON + json.dumps({"code": said.said.code, "params": said.said.params})
    return line if len(line) <= _MOST_REASON else None


def read_reason(line: str) -> ReasonCode | None:
    """What such a line tells; None for another line."""
    if not line.startswith(REASON) or len(line) > _MOST_REASON:
        return None
    try:
        found: Any = json.loads(line[len(REASON) :])
        code, params = found["code"], found["params"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return None
    is_one = isinstance(code, str) and isinstance(params, dict)
    return ReasonCode(code, params) if is_one else None


def step_line(done: int, total: int, percent: float, seconds_left: float | None) -> str:
    """The line that says how far it is."""
    left = "-" if seconds_left is None else f"{min(seconds_left, 999_999_999):.0f}"
    return f"{STEP_PREFIX}{done} of {total}, {percent:.1f} %, {left} s left"
