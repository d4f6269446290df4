"""Search the output for phrases and step numbers as it passes."""

from __future__ import annotations

import re
from collections.abc import Collection

from .small_files import number

#: Bytes stored of an incomplete line. A phrase from sixty ranks together is shorter.
MAX_PARTIAL_LINE = 2048


class OutputScanner:
    """Finds lines that consist of a phrase only, and the last `prefix<number>` at the start of a line.

    Every rank may print a phrase, and the line ends may follow later, so a phrase may be repeated in a line. A phrase
    before a step was not printed by the trainer, which prints phrases only after its last step.
    """

    def __init__(self, phrases: Collection[str], prefix: str) -> None:
        self.seen: set[str] = set()
        self.last_step: int | None = None
        self._patterns = {phrase: _line_of(phrase.encode()) for phrase in phrases if phrase}
        self._prefix = prefix.encode()
        self._rest = b"\n"  # the separator before the incomplete line, and that line so far

    def feed(self, data: bytes) -> bool:
        """Process the next bytes of output. Return whether a phrase appeared for the first time."""
        text = self._rest + data
        step_at = self._look_for_step(text) if self._prefix else -1
        is_new = self._look_for_phrases(text, step_at)
        self._rest = text[max(text.rfind(b"\n"), text.rfind(b"\r")) :][:MAX_PARTIAL_LINE]
        return is_new

    def finish(self) -> None:
        """Process the last line as complete, although it has no newline."""
        self.feed(b"\n")

    def _look_for_step(self, text: bytes) -> int:
        """Return the position of the last step line, or -1."""
        # Each search continues backwards from its own last match, so that no byte is searched twice.
        newline, carriage_return = b"\n" + self._prefix, b"\r" + self._prefix
        by_newline, by_return = text.rfind(newline), text.rfind(carriage_return)
        while (at := max(by_newline, by_return)) >= 0 and not self._take_step(text, at + len(newline)):
            if at == by_newline:
                by_newline = text.rfind(newline, 0, at)
            else:
                by_return = text.rfind(carriage_return, 0, at)
        return at

    def _take_step(self, text: bytes, at: int) -> bool:
        end = at
        while end < len(text) and end - at < 19 and 48 <= text[end] <= 57:
            end += 1
        # A number at the very end may continue in the next bytes.
        if end == at or end == len(text):
            return False
        self.last_step = int(text[at:end])
        return True

    def _look_for_phrases(self, text: bytes, step_at: int) -> bool:
        is_new = False
        for phrase, pattern in self._patterns.items():
            if pattern.search(text, max(0, step_at)):
                is_new |= phrase not in self.seen
                self.seen.add(phrase)
            elif step_at >= 0:
                self.seen.discard(phrase)
        return is_new

    def restore(self, phrases: object, last_step: object, tail: bytes, is_line_start: bool) -> None:
        """Continue from an earlier supervisor's results and the end of its log."""
        seen = phrases if isinstance(phrases, list) else []
        self.seen.update(phrase for phrase in self._patterns if phrase in seen)
        step = number(last_step)
        self.last_step = None if step is None else int(step)
        self._rest = b"\n" if is_line_start else b"\n-"
        for first in range(0, len(tail), 65536):
            self.feed(tail[first : first + 65536])


def _line_of(phrase: bytes) -> re.Pattern[bytes]:
    """Return a pattern for a complete line with the phrase, once or several times."""
    return re.compile(rb"[\r\n](?:%s)+(?=[\r\n])" % re.escape(phrase))
