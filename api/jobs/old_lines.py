"""Read the lines that older programs printed instead of JSON messages.

A program that runs during an upgrade still prints them, and stored logs contain them.
"""

import json
import re
from typing import Any

_PROGRESS = re.compile(r"(?:files|items): (\d{1,9}) of (\d{1,9}), (\d{1,3}\.\d) %, (\d{1,9}|-) s left", re.ASCII)
_ACTIVITY, _WARNING, _REASON = "doing: ", "problem: ", "reason: "

#: Version 1.0 named no cause.
_FAILED = re.compile(r"refused(?: \((?P<cause>[a-z_]{1,40})\))?: (?P<message>.*)", re.ASCII)

#: Characters of a line that are read.
_LINE_LIMIT = 4_096

#: The first characters of these lines.
_BEGINNINGS = frozenset("fidpr")


def read_old_line(line: str) -> dict[str, Any] | None:
    """Return the fields of the equivalent JSON message, or None for any other line.

    Raises ValueError or RecursionError for a damaged reason.
    """
    if line[:1] not in _BEGINNINGS:
        return None
    line = line[:_LINE_LIMIT]
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
