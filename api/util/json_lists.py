"""A JSON object that may have long lists: each element of those is made into what is wanted as it comes.

So neither the text nor all that stands in it is ever in memory at once, and other threads have their turn in between.
The library for that, ijson, takes as long for the elements of one list, but gives what stands beside them only by a
pass of its own for each, refuses all of a text in which one byte is no UTF-8, and bounds no element.
"""

import codecs
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

#: The most characters of one element, or of any other value of the object.
MOST_CHARACTERS = 2**20

#: The most elements of a list, and of those that nothing is made of: a list of garbage is not read to its end.
MOST_ELEMENTS = 2_000_000
MOST_LEFT_OUT = 10_000

#: Bytes that are looked at together.
_PIECE = 65_536

_BLANKS = " \t\n\r"
_DECODER = json.JSONDecoder(strict=False)


def read_object(parts: Iterable[bytes], each: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """The object in a text that comes in parts. A list whose name is in `each` has what is made of its elements there,
    None where that is nothing. Raises ValueError for what is no object, or beyond the bounds.

    What is no UTF-8 is replaced: one text in it hides no other.
    """
    reader = _Reader(parts)
    found: dict[str, Any] = {}
    for name in reader.names():
        make = each.get(name)
        found[name] = list(_make(reader, make)) if make is not None and reader.peek() == "[" else reader.value()
    if reader.peek():
        raise ValueError("something stands behind the object")
    return found


def _make(reader: "_Reader", make: Callable[[Any], Any]) -> Iterator[Any]:
    left_out = 0
    for count, element in enumerate(reader.elements(), 1):
        made = make(element)
        left_out += made is None
        if count > MOST_ELEMENTS or left_out > MOST_LEFT_OUT:
            raise ValueError("a list in it is too long, or none of what is known")
        yield made


class _Reader:
    """Goes through a text. Every call raises ValueError where that is not as it should be."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._pieces = (part[at : at + _PIECE] for part in parts for at in range(0, len(part), _PIECE))
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._at = 0
        self._is_over = False

    def names(self) -> Iterator[str]:
        """The names of an object; whoever asks takes the value of each before the next."""
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
        """The elements of a list."""
        self._expect("[")
        if self._is_at_end("]"):
            return
        while True:
            yield self.value()
            if self._is_at_end("]"):
                return
            self._expect(",")

    def value(self) -> Any:
        """The value that comes next, as a whole."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if not self._read_on():
                    raise
                continue
            except RecursionError:
                raise ValueError("it is nested too deep") from None
            # A number may go on in the next piece, also behind an `e+`.
            if end + len("e+") < len(self._text) or not self._read_on():
                self._at = end
                return value

    def peek(self) -> str:
        """The next character that is no blank; none at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _BLANKS:
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
        """Takes up more of the text; False at its end. As much again as there is, so that little is looked at twice."""
        wanted = max(1, len(self._text) - self._at)
        if wanted > MOST_CHARACTERS:
            raise ValueError("a value in it is too long")
        news: list[str] = []
        while wanted > 0 and not self._is_over:
            piece = next(self._pieces, None)
            self._is_over = piece is None
            news.append(self._decoder.decode(piece or b"", final=self._is_over))
            wanted -= len(news[-1])
        more = "".join(news)
        if more:
            self._text, self._at = self._text[self._at :] + more, 0
        return bool(more)
