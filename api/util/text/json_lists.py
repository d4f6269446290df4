"""Parse a JSON object with long lists: each element is converted as it arrives.

So neither the text nor all its values are in memory together, and other threads run in between. The library ijson takes
as long for the elements of one list, but needs another pass for each value besides it, rejects a text with one byte
that is not UTF-8, and limits no element.
"""

import codecs
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

#: Maximum length of one element, or of any other value of the object.
MOST_CHARACTERS = 2**20

#: Maximum numbers of elements of a list, and of skipped ones, so that a list of garbage is not read to its end.
MOST_ELEMENTS = 2_000_000
MOST_LEFT_OUT = 10_000

#: Number of bytes that are decoded together.
_PIECE = 65_536

_WHITESPACE = " \t\n\r"
_DECODER = json.JSONDecoder(strict=False)


def read_object(parts: Iterable[bytes], each: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """Return the object in a text that arrives in parts.

    The elements of a list that `each` names are converted by its function; the result may contain None. Bytes that are
    not UTF-8 are replaced, so that one bad text hides no other. Raises ValueError if the text is no object or exceeds
    the limits.
    """
    reader = _Reader(parts)
    found: dict[str, Any] = {}
    for name in reader.names():
        make = each.get(name)
        found[name] = list(_convert(reader, make)) if make is not None and reader.peek() == "[" else reader.value()
    if reader.peek():
        raise ValueError("there is text after the object")
    return found


def _convert(reader: "_Reader", make: Callable[[Any], Any]) -> Iterator[Any]:
    left_out = 0
    for count, element in enumerate(reader.elements(), 1):
        made = make(element)
        left_out += made is None
        if count > MOST_ELEMENTS or left_out > MOST_LEFT_OUT:
            raise ValueError("a list in it is too long or has too many unknown elements")
        yield made


class _Reader:
    """Parses a text. Every method raises ValueError if the text is malformed."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._pieces = (part[at : at + _PIECE] for part in parts for at in range(0, len(part), _PIECE))
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._at = 0
        self._is_over = False

    def names(self) -> Iterator[str]:
        """Yield the names of an object. The caller must read the value of each before the next."""
        self._expect("{")
        if self._is_at_end("}"):
            return
        while True:
            name = self.value() if self.peek() == '"' else None
            if not isinstance(name, str):
                raise ValueError("a name is missing")
            self._expect(":")
            yield name
            if self._is_at_end("}"):
                return
            self._expect(",")

    def elements(self) -> Iterator[Any]:
        """Yield the elements of a list."""
        self._expect("[")
        if self._is_at_end("]"):
            return
        while True:
            yield self.value()
            if self._is_at_end("]"):
                return
            self._expect(",")

    def value(self) -> Any:
        """Return the next complete value."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if not self._read_on():
                    raise
                continue
            except RecursionError:
                raise ValueError("it is nested too deeply") from None
            # A number may continue in the next piece, also after an `e+`.
            if end + len("e+") < len(self._text) or not self._read_on():
                self._at = end
                return value

    def peek(self) -> str:
        """Return the next character that is not whitespace; empty at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _WHITESPACE:
                    return self._text[self._at]
                self._at += 1
            if not self._read_on():
                return ""

    def _is_at_end(self, sign: str) -> bool:
        if self.peek() != sign:
            return False
        self._at += 1
        return True

    def _expect(self, sign: str) -> None:
        if not self._is_at_end(sign):
            raise ValueError(f'a "{sign}" is missing')

    def _read_on(self) -> bool:
        """Read more of the text; return False at its end.

        The buffer is doubled, so that little is parsed twice.
        """
        missing = max(1, len(self._text) - self._at)
        if missing > MOST_CHARACTERS:
            raise ValueError("a value in it is too long")
        decoded: list[str] = []
        while missing > 0 and not self._is_over:
            piece = next(self._pieces, None)
            self._is_over = piece is None
            decoded.append(self._decoder.decode(piece or b"", final=self._is_over))
            missing -= len(decoded[-1])
        more = "".join(decoded)
        if more:
            self._text, self._at = self._text[self._at :] + more, 0
        return bool(more)
