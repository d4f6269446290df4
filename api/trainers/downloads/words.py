"""What the program that downloads prints: its phrases, and the form of its lines, for all who read them."""

import re

#: Phrases that each fill a line: everything is there; or it ends because it was asked to.
COMPLETED = "DOWNLOAD COMPLETE"
STOPPED = "Download stopped as it was asked to"

STEP_PREFIX = "files: "

#: How many files are there, how much of all bytes in percent, and the seconds that are left; `-` is not known.
STEP = re.compile(r"files: (\d{1,6}) of (\d{1,6}), (\d{1,3}\.\d) %, (\d{1,9}|-) s left", re.ASCII)

#: Why nothing more can be done about it: the line before the end.
REFUSED = "refused: "

#: What is waited for, or tried again.
PROBLEM = "problem: "


def step_line(done: int, total: int, percent: float, seconds_left: float | None) -> str:
    """The line that says how far it is."""
    left = "-" if seconds_left is None else f"{min(seconds_left, 999_999_999):.0f}"
    return f"{STEP_PREFIX}{done} of {total}, {percent:.1f} %, {left} s left"
