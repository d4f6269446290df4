"""Text for people and files: command lines that can be shown."""

import re
import shlex
from collections.abc import Sequence

#: A command line can be megabytes long and hold anything; this much tells which program it is.
COMMAND_LIMIT = 256

# --wandb_api_key=…, HF_TOKEN=…, --password … : the value is nobody's business.
_SENSITIVE = r"[\w-]*(?:api[_-]?key|token|secret|passw(?:or)?d|credential)[\w-]*"
_SECRET_PAIR = re.compile(rf"({_SENSITIVE}=)\S+", re.IGNORECASE)
_SECRET_FLAG = re.compile(rf"--?{_SENSITIVE}", re.IGNORECASE)


def shorten_command(arguments: Sequence[str]) -> str:
    """A command line with the values of secrets masked, control characters removed, cut at 256 characters."""
    shown = []
    after_secret_flag = False
    for argument in arguments:
        shown.append("***" if after_secret_flag else _SECRET_PAIR.sub(r"\1***", argument))
        after_secret_flag = _SECRET_FLAG.fullmatch(argument) is not None
        if sum(map(len, shown)) > COMMAND_LIMIT:
            break
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in _join(shown)[: COMMAND_LIMIT + 1])
    return line if len(line) <= COMMAND_LIMIT else line[: COMMAND_LIMIT - 1] + "…"


def _join(arguments: Sequence[str]) -> str:
    # Some programs replace their command line by one long title; quoting that would only disfigure it.
    return arguments[0] if len(arguments) == 1 else shlex.join(arguments)
