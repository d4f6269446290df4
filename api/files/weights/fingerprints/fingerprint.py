"""A model component and the tensors that identify it, in a small notation that is parsed once."""

import re
from dataclasses import dataclass

from api.files.weights.header import Header

#: A text such as `img_in.weight [6144|4096,128]`: a name, and the allowed dimensions of its shape; `*` is any.
_SIGN = re.compile(r"(\*?)([^\s*\[|]+)(\*?)(?:\s*\[([\d|,*]+)\])?")

_NOTATION = "A sign is `name`, `start.*` or `*.end`, optionally followed by a shape: {text!r}."


@dataclass(frozen=True, slots=True)
class Sign:
    """A tensor by its name, or the start or end of its name, and the allowed dimensions of its shape (empty: any)."""

    name: str
    is_start: bool = False
    is_end: bool = False
    sides: tuple[frozenset[int], ...] = ()  #: allowed numbers for each dimension; an empty set: any

    def is_in(self, header: Header) -> bool:
        """Return whether the file has a tensor of this name and shape."""
        if self.is_start:
            return header.has_key_starting(self.name)
        if self.is_end:
            return header.has_key_ending(self.name)
        shape = header.shapes.get(self.name)
        return shape is not None and self._fits(shape)

    def _fits(self, shape: tuple[int, ...]) -> bool:
        if not self.sides:
            return True
        pairs = zip(self.sides, shape, strict=False)
        return len(shape) == len(self.sides) and all(not allowed or side in allowed for allowed, side in pairs)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The identity of a file that has each of these signs (of a tuple: any of them) and lacks the others.

    `source` names the origin of the signs.
    """

    name: str
    title: str  #: for use in sentences: "the transformer of …"
    component: str
    has: tuple[tuple[Sign, ...], ...]
    lacks: tuple[Sign, ...]
    source: str

    def fits(self, header: Header) -> bool:
        """Return whether the file has this fingerprint."""
        return all(any(sign.is_in(header) for sign in signs) for signs in self.has) and not any(
            sign.is_in(header) for sign in self.lacks
        )


def define(name: str, title: str, component: str, has: str, source: str, *, lacks: str = "") -> Fingerprint:
    """Return a fingerprint from texts: signs are separated by `;`, and alternatives by ` or `."""
    return Fingerprint(
        name=name,
        title=title,
        component=component,
        has=tuple(tuple(map(read_sign, line.split(" or "))) for line in _lines(has)),
        lacks=tuple(map(read_sign, _lines(lacks))),
        source=source,
    )


def read_sign(text: str) -> Sign:
    """Parse a sign. Raises ValueError."""
    found = _SIGN.fullmatch(text.strip())
    if found is None or (found[1] and found[3]):
        raise ValueError(_NOTATION.format(text=text))
    sides = (frozenset(int(side) for side in each.split("|") if side != "*") for each in (found[4] or "").split(","))
    return Sign(found[2], bool(found[3]), bool(found[1]), tuple(sides) if found[4] else ())


def _lines(text: str) -> list[str]:
    return [part.strip() for part in text.replace("\n", ";").split(";") if part.strip()]
