"""Search patterns: a keyword or a regular expression, matched by RE2 in linear time and bounded memory."""

import re
from dataclasses import dataclass

import re2

from api.errors import InvalidPattern

#: Memory of one compiled pattern in bytes. A larger pattern is rejected, or searched more slowly.
PATTERN_MEMORY = 16 * 2**20

# Many lines are searched at a time, so these anchors would match the start and end of a block.
_ABSOLUTE_ANCHOR = re.compile(r"(?<!\\)(?:\\\\)*\\[AzZ]")


@dataclass(frozen=True, slots=True)
class Match:
    """The start and end of a match."""

    start: int
    end: int


class LogPattern:
    """A compiled pattern that matches within lines: never across a newline, and ^ and $ match the ends of a line."""

    def __init__(self, text: str, is_regex: bool, ignore_case: bool) -> None:
        """Compile the pattern. Raises InvalidPattern with RE2's reason."""
        self.text = text
        if is_regex and _ABSOLUTE_ANCHOR.search(text):
            raise InvalidPattern("\\A and \\z are not supported in logs. Use ^ and $ for the ends of a line.")
        options = re2.Options()
        options.literal = not is_regex
        options.case_sensitive = not ignore_case
        options.never_nl = True
        options.never_capture = True
        options.log_errors = False
        options.max_mem = PATTERN_MEMORY
        try:
            if is_regex:
                # Compiled without the prefix first, so that an error refers to the given text.
                re2.compile(text, options)
            self._compiled = re2.compile("(?m)" + text if is_regex else text, options)
        except re2.error as error:
            raise InvalidPattern(f"RE2 rejects the pattern: {_reason(error)}.") from None

    def find(self, block: bytes, begin: int, end: int) -> Match | None:
        """Return the first match in this part of some complete lines."""
        found = self._compiled.search(block, begin, end)
        return None if found is None else Match(*found.span())

    def find_in(self, message: str) -> Match | None:
        """Return the first match in a cleaned line, in characters."""
        found = self._compiled.search(message)
        return None if found is None else Match(*found.span())


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else "it is not a regular expression"
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
