"""What is looked for in the output while it passes."""

from __future__ import annotations

from collections.abc import Collection

from .files import number


class Scanner:
    """Looks for phrases and for the last `prefix<number>` at the beginning of a line."""

    def __init__(self, phrases: Collection[str], prefix: str) -> None:
        self.seen: set[str] = set()
        self.last_step: int | None = None
        self._wanted = {phrase: phrase.encode() for phrase in phrases if phrase}
        self._overlap = max((len(phrase) - 1 for phrase in self._wanted.values()), default=0)
        self._prefix = prefix.encode()
        self._before = b""
        self._line = b"\n"  # the end of the last line, and how the one after it begins

    def feed(self, data: bytes) -> bool:
        """Takes bytes up; whether a phrase was seen for the first time."""
        if self._prefix:
            self._look_for_step(self._line + data)
        return self._look_for_phrases(data)

    def finish(self) -> None:
        """The last line is over."""
        self.feed(b"\n")

    def _look_for_step(self, text: bytes) -> None:
        # Each of the two goes back from where it was found itself: nothing is looked through twice.
        newline, carriage_return = b"\n" + self._prefix, b"\r" + self._prefix
        by_newline, by_return = text.rfind(newline), text.rfind(carriage_return)
        while (at := max(by_newline, by_return)) >= 0 and not self._take_step(text, at + len(newline)):
            if at == by_newline:
                by_newline = text.rfind(newline, 0, at)
            else:
                by_return = text.rfind(carriage_return, 0, at)
        last_line = max(text.rfind(b"\n"), text.rfind(b"\r"))
        self._line = text[last_line : last_line + len(self._prefix) + 24]

    def _take_step(self, text: bytes, at: int) -> bool:
        end = at
        while end < len(text) and end - at < 19 and 48 <= text[end] <= 57:
            end += 1
        # A number at the very end may go on in the next bytes.
        if end == at or end == len(text):
            return False
        self.last_step = int(text[at:end])
        return True

    def _look_for_phrases(self, data: bytes) -> bool:
        if not self._wanted:
            return False
        text = self._before + data
        found = [phrase for phrase, encoded in self._wanted.items() if encoded in text]
        for phrase in found:
            self.seen.add(phrase)
            del self._wanted[phrase]
        self._before = text[max(0, len(text) - self._overlap) :]
        return bool(found)

    def restore(self, phrases: object, last_step: object, tail: bytes, is_line_start: bool) -> None:
        """Goes on from what an earlier supervisor had seen and from the end of what it had kept."""
        seen = phrases if isinstance(phrases, list) else []
        for phrase in [phrase for phrase in self._wanted if phrase in seen]:
            self.seen.add(phrase)
            del self._wanted[phrase]
        step = number(last_step)
        self.last_step = None if step is None else int(step)
        self._line = b"\n" if is_line_start else b"\n-"
        for first in range(0, len(tail), 65536):
            self.feed(tail[first : first + 65536])
