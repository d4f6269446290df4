"""What is searched for: a word or a regular expression, by RE2 in linear time and bounded memory."""

import re
from dataclasses import dataclass

import re2

from api.errors import InvalidPattern

#: The memory of one compiled pattern in bytes; what needs more is refused, or searched for more slowly.
PATTERN_MEMORY = 16 * 2**20

# Lines are searched many at a time, so that these would mean the beginning and the end of a block.
_ABSOLUTE_ANCHOR = re.compile(r"(?<!\\)(?:\\\\)*\\[AzZ]")


@dataclass(frozen=True, slots=True)
class Match:
    """The begin and end of a match."""

    start: int
    end: int


class LogPattern:
    """A compiled pattern that matches within lines: never beyond a newline, and ^ and $ are the ends of a line."""

    def __init__(self, text: str, is_regex: bool, ignore_case: bool) -> None:
        """Raises InvalidPattern with RE2's reason."""
        self.text = text
        if is_regex and _ABSOLUTE_ANCHOR.search(text):
            raise InvalidPattern("\\A and \\z mean nothing in a log: use ^ and $ for the ends of a line.")
        options = re2.Options()
        options.literal = not is_regex
        options.case_sensitive = not ignore_case
        options.never_nl = True
        options.never_capture = True
        options.log_errors = False
        options.max_mem = PATTERN_MEMORY
        try:
            if is_regex:
                # As it is: a reason is about what was asked for.
                re2.compile(text, options)
            self._compiled = re2.compile("(?m)" + text if is_regex else text, options)
        except re2.error as error:
            raise InvalidPattern(f"RE2 refuses the pattern: {_reason(error)}.") from None

    def find(self, block: bytes, begin: int, end: int) -> Match | None:
        """The first match in this part of some whole lines."""
        found = self._compiled.search(block, begin, end)
        return None if found is None else Match(*found.span())

    def find_in(self, message: str) -> Match | None:
        """The first match in a line as it is shown, in characters."""
        found = self._compiled.search(message)
        return None if found is None else Match(*found.span())


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else "it is no regular expression"
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
