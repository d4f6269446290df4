"""One component of a model, and the tensors by which it is known: a small notation, read once."""

import re
from dataclasses import dataclass

from api.files.weights.header import Header

#: A text such as `img_in.weight [6144|4096,128]`: a name, and the sides that its shape may have; `*` is any side.
_SIGN = re.compile(r"(\*?)([^\s*\[|]+)(\*?)(?:\s*\[([\d|,*]+)\])?")

_NOTATION = "A sign is `name`, `start.*` or `*.end`, and may have a shape behind it: {text!r}."


@dataclass(frozen=True, slots=True)
class Sign:
    """A tensor by its name, or by how its name begins or ends, and the sides of its shape (empty: any)."""

    name: str
    is_start: bool = False
    is_end: bool = False
    sides: tuple[frozenset[int], ...] = ()  #: for each side the numbers that it may have; an empty set: any

    def stands_in(self, header: Header) -> bool:
        """Whether the file has such a tensor."""
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
    """What a file is when it has each of these signs (of several in one tuple, any) and lacks the others.

    `slots` are the places where it belongs, each `model_type.key` as the trainer's [model] has it; none: the trainer
    has no use for it. `source` says where the signs are from.
    """

    name: str
    title: str  #: as a sentence has it: "the transformer of …"
    component: str
    slots: frozenset[str]
    has: tuple[tuple[Sign, ...], ...]
    lacks: tuple[Sign, ...]
    source: str

    def fits(self, header: Header) -> bool:
        """Whether this is what the file holds."""
        return all(any(sign.stands_in(header) for sign in signs) for signs in self.has) and not any(
            sign.stands_in(header) for sign in self.lacks
        )


def define(
    name: str, title: str, component: str, has: str, source: str, *, slots: str = "", lacks: str = ""
) -> Fingerprint:
    """A fingerprint from texts: signs stand behind `;`, with ` or ` between those of which one is enough."""
    return Fingerprint(
        name=name,
        title=title,
        component=component,
        slots=frozenset(slots.split()),
        has=tuple(tuple(map(read_sign, line.split(" or "))) for line in _lines(has)),
        lacks=tuple(map(read_sign, _lines(lacks))),
        source=source,
    )


def read_sign(text: str) -> Sign:
    """The sign that a text tells of. Raises ValueError."""
    found = _SIGN.fullmatch(text.strip())
    if found is None or (found[1] and found[3]):
        raise ValueError(_NOTATION.format(text=text))
    sides = (frozenset(int(side) for side in each.split("|") if side != "*") for each in (found[4] or "").split(","))
    return Sign(found[2], bool(found[3]), bool(found[1]), tuple(sides) if found[4] else ())


def _lines(text: str) -> list[str]:
    return [part.strip() for part in text.replace("\n", ";").split(";") if part.strip()]
