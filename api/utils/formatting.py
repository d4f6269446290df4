"""Text for people and files: command lines that can be shown, durations."""

import re
import shlex
from collections.abc import Sequence

#: A command line can be megabytes long and hold anything; this much tells which program it is.
COMMAND_LIMIT = 256

#: Characters of one argument that are looked at. What is masked makes room for what follows, but not for more.
_ARGUMENT_LIMIT = 16 * COMMAND_LIMIT

# --wandb_api_key=…, HF_TOKEN=…, --password … : the value is nobody's business. A word is looked at once, from its
# beginning, and nothing is given back: linear.
_WORD = r"(?=[\w-]*?(?:api[_-]?key|token|secret|passw(?:or)?d|credential))[\w-]++"
_WHOLE_PAIR = re.compile(rf"({_WORD}=).*", re.IGNORECASE | re.DOTALL)
_PAIR = re.compile(rf"(?<![\w-])({_WORD}=)\S++", re.IGNORECASE)
_FLAG = re.compile(rf"-{_WORD}", re.IGNORECASE)
_FLAG_AND_VALUE = re.compile(rf"(?<![\w-])(-{_WORD}\s++)\S++", re.IGNORECASE)


def format_duration(seconds: float) -> str:
    """A duration in its two largest units: 45s, 3m 20s, 2h 05m, 4d 3h."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes:02}m"
    return f"{minutes}m {rest:02}s" if minutes else f"{rest}s"


def as_sentence(text: str) -> str:
    """Words of ours as a sentence, with a capital and a full stop. What begins otherwise is a quotation, and stays."""
    if not text[:1].islower() or not text.split(" ", 1)[0].isalpha():
        return text
    sentence = text[:1].upper() + text[1:]
    return sentence if sentence.endswith((".", "!", "?", "…")) else f"{sentence}."


def shorten_command(arguments: Sequence[str]) -> str:
    """A command line with the values of secrets masked, control characters removed, cut at 256 characters."""
    shown: list[str] = []
    length = 0
    after_secret_flag = False
    for argument in arguments:
        looked_at = argument[:_ARGUMENT_LIMIT]
        shown.append("***" if after_secret_flag else _mask(looked_at, whole=len(arguments) > 1))
        after_secret_flag = _FLAG.fullmatch(looked_at) is not None
        length += len(shown[-1]) + 1
        if length > COMMAND_LIMIT + 1:
            break
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in _join(shown)[: COMMAND_LIMIT + 1])
    return line if len(line) <= COMMAND_LIMIT else line[: COMMAND_LIMIT - 1] + "…"


def _mask(argument: str, whole: bool) -> str:
    if whole and (pair := _WHOLE_PAIR.fullmatch(argument)) is not None:
        return f"{pair[1]}***"
    return _FLAG_AND_VALUE.sub(r"\1***", _PAIR.sub(r"\1***", argument))


def _join(arguments: Sequence[str]) -> str:
    # Some programs replace their command line by one long title; quoting that would only disfigure it.
    return arguments[0] if len(arguments) == 1 else shlex.join(arguments)
