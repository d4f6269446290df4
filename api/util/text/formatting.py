"""Format texts for people and files: command lines, durations, sentences."""

import shlex
from collections.abc import Sequence

from api.util.text.masking import MASK, is_secret_flag, mask_argument

#: Maximum length of a shown command line, which can be megabytes long.
COMMAND_LIMIT = 256

#: Characters of one argument that are processed, so that masking leaves enough of the rest.
_ARGUMENT_LIMIT = 16 * COMMAND_LIMIT


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units: 45s, 3m 20s, 2h 05m, 4d 3h.

    A negative one, after a clock was set back, is 0s.
    """
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes:02}m"
    return f"{minutes}m {rest:02}s" if minutes else f"{rest}s"


#: The units of a written duration, largest first.
_UNITS = (("day", 86_400), ("hour", 3600), ("minute", 60))

#: Seconds from which on a written duration has no seconds.
_WHOLE_MINUTES = 120


def format_long_duration(seconds: float) -> str:
    """Return a duration in words, in its two largest units.

    Examples: 45 seconds, 12 minutes, 2 hours 5 minutes, 4 days 3 hours. A negative one, after a clock was set back, is
    0 seconds.
    """
    whole = max(0, round(seconds))
    if whole < _WHOLE_MINUTES and whole != 60:
        return _count(whole, "second")
    whole = 60 * round(whole / 60)
    parts: list[tuple[int, str]] = []
    for name, size in _UNITS:
        number, whole = divmod(whole, size)
        if number or parts:
            parts.append((number, name))
    return " ".join(_count(number, name) for number, name in parts[:2] if number)


def _count(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def as_sentence(text: str) -> str:
    """Return a phrase as a sentence, with a capital and a full stop.

    A phrase that starts with a name or code stays as it is.
    """
    if not text[:1].islower() or not text.split(" ", 1)[0].isalpha():
        return text
    sentence = text[:1].upper() + text[1:]
    return sentence if sentence.endswith((".", "!", "?", "…")) else f"{sentence}."


def shorten(text: str, most: int) -> str:
    """Return the text, cut to this many characters with a mark at its end."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def shorten_command(arguments: Sequence[str]) -> str:
    """Return a command line with secrets masked, without control characters, cut at 256 characters."""
    shown: list[str] = []
    length = 0
    after_secret_flag = False
    for argument in arguments:
        beginning = argument[:_ARGUMENT_LIMIT]
        shown.append(MASK if after_secret_flag else mask_argument(beginning, whole=len(arguments) > 1))
        after_secret_flag = is_secret_flag(beginning)
        length += len(shown[-1]) + 1
        if length > COMMAND_LIMIT + 1:
            break
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in _join(shown)[: COMMAND_LIMIT + 1])
    return line if len(line) <= COMMAND_LIMIT else line[: COMMAND_LIMIT - 1] + "…"


def _join(arguments: Sequence[str]) -> str:
    # Some programs replace their command line by one title; quoting would only make it unreadable.
    return arguments[0] if len(arguments) == 1 else shlex.join(arguments)
