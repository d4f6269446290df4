"""A configuration as the trainer will read it, and where in the request each of its values stands."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from api.trainers.pointers import pointer

#: No count that the trainer takes is larger; beyond it, a number is a slip, and torch's integers end at 2**63.
MOST_COUNT = 2**31 - 1

_FLOAT_BITS = 1023


@dataclass(frozen=True, slots=True)
class TrainerDocument:
    """The trainer's keys and values; `moved` has the pointers of top-level keys that do not stand below `base`."""

    values: dict[str, Any]
    base: str
    moved: Mapping[str, str] = field(default_factory=dict)

    def at(self, *path: str | int) -> str:
        """The JSON pointer of a value, given its path as the trainer names it."""
        if path and (place := self.moved.get(str(path[0]))) is not None:
            return place + pointer(*path[1:])
        return self.base + pointer(*path)

    def table(self, name: str) -> dict[str, Any]:
        """A table; empty when it is not there, or no table."""
        value = self.values.get(name)
        return value if isinstance(value, dict) else {}


def whole(value: Any) -> int | None:
    """The value when it is an integer; true and false are none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def number(value: Any) -> float | int | None:
    """The value when it is a finite number; true and false are none, nor are integers that no float holds."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    found = whole(value)
    return found if found is not None and found.bit_length() <= _FLOAT_BITS else None


def count(value: Any) -> int | None:
    """A number as a count: rounded down, and 1 at least; None where it is no number."""
    found = number(value)
    return None if found is None else max(1, int(found))


def positive(value: Any, default: int) -> int:
    """The value when it is a positive integer that trainers count to, else the default; other checks say what is
    wrong.
    """
    found = whole(value)
    return found if found is not None and 0 < found <= MOST_COUNT else default
