"""What the preprocessing program prints: its phrases, and the forms of its lines, for all who read them."""

import json
import re

#: The names by which tasks know the program that works on media, and the one that asks for captions.
PREPROCESSING = "preprocessing"
CAPTIONING = "captioning"

#: The variable by which the key of the endpoint that writes captions reaches the program.
KEY_VARIABLE = "CAPTION_API_KEY"

#: Phrases that each fill a line: everything is done; or it ends because it was asked to.
COMPLETED = "PREPROCESSING COMPLETE"
STOPPED = "Stopped as it was asked to"

STEP_PREFIX = "items: "

#: How many items are done, how much of all the work in percent, and the seconds that are left; `-` is not known.
STEP = re.compile(r"items: (\d{1,9}) of (\d{1,9}), (\d{1,3}\.\d) %, (\d{1,9}|-) s left", re.ASCII)

#: What it is busy with.
DOING = re.compile(r"doing: (.{1,400})")

#: Something about one item that people should know; the work goes on.
PROBLEM = "problem: "


def step_line(done: int, total: int, percent: float, seconds_left: float | None) -> str:
    """The line that says how far it is."""
    left = "-" if seconds_left is None else f"{min(seconds_left, 999_999_999):.0f}"
    return f"{STEP_PREFIX}{done} of {total}, {percent:.1f} %, {left} s left"


def doing_line(what: str, name: str) -> str:
    """The line that says what is done to which item."""
    return f"doing: {what} {shown(name)}"


def problem_line(name: str, text: str) -> str:
    """The line about a problem with an item."""
    return f"{PROBLEM}{shown(name)}: {text.splitlines()[0][:300] if text else 'no reason is known'}"


def shown(name: str) -> str:
    """A name that others chose, on one line and within bounds: it can be nobody's phrase."""
    return json.dumps(name[:200], ensure_ascii=False)
