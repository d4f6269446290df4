"""What is looked for in the output while it passes."""

from __future__ import annotations

import re
from collections.abc import Collection

from .files import number

#: Bytes kept of a line that is not finished. A phrase of sixty ranks at once is shorter.
KEPT = 2048


class OutputScanner:
    """Looks for lines that are nothing but a phrase, and for the last `prefix<number>` at the beginning of a line.

    Every rank may print a phrase, and their line ends may come after both: so it may stand several times in its line.
    A phrase that is followed by a step was not the trainer's: it says them when it has made its last.
    """

    def __init__(self, phrases: Collection[str], prefix: str) -> None:
        self.seen: set[str] = set()
        self.last_step: int | None = None
        self._patterns = {phrase: _line_of(phrase.encode()) for phrase in phrases if phrase}
        self._prefix = prefix.encode()
        self._rest = b"\n"  # the separator before the line that is not finished, and how that line begins

    def feed(self, data: bytes) -> bool:
        """Takes the next bytes of the output; returns whether a phrase appeared for the first time."""
        text = self._rest + data
        step_at = self._look_for_step(text) if self._prefix else -1
        is_new = self._look_for_phrases(text, step_at)
        self._rest = text[_last_separator(text) :][:KEPT]
        return is_new

    def finish(self) -> None:
        """Takes the last line as complete, though no newline has come."""
        self.feed(b"\n")

    def _look_for_step(self, text: bytes) -> int:
        """Where the last step line begins, -1 if there is none."""
        # Each of the two goes back from where it was found itself: nothing is looked through twice.
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
        # A number at the very end may go on in the next bytes.
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
        """Goes on from what an earlier supervisor had seen and from the end of what it had kept."""
        seen = phrases if isinstance(phrases, list) else []
        self.seen.update(phrase for phrase in self._patterns if phrase in seen)
        step = number(last_step)
        self.last_step = None if step is None else int(step)
        self._rest = b"\n" if is_line_start else b"\n-"
        for first in range(0, len(tail), 65536):
            self.feed(tail[first : first + 65536])


def _line_of(phrase: bytes) -> re.Pattern[bytes]:
    """A finished line that is the phrase, once or several times."""
    return re.compile(rb"[\r\n](?:%s)+(?=[\r\n])" % re.escape(phrase))


def _last_separator(text: bytes) -> int:
    return max(text.rfind(b"\n"), text.rfind(b"\r"))
