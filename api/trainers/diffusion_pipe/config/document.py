"""A configuration as the trainer reads it, with the location of each value in the request."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from api.domain.finding import pointer

#: The largest count of the trainer; larger numbers are mistakes, and torch's integers end at 2**63.
MAX_COUNT = 2**31 - 1

_FLOAT_BITS = 1023


@dataclass(frozen=True, slots=True)
class TrainerDocument:
    """The trainer's keys and values. `moved` has the pointers of top-level keys that are not below `base`."""

    values: dict[str, Any]
    base: str
    moved: Mapping[str, str] = field(default_factory=dict)

    def at(self, *path: str | int) -> str:
        """Return the JSON pointer of a value, given its path as the trainer names it."""
        if path and (location := self.moved.get(str(path[0]))) is not None:
            return location + pointer(*path[1:])
        return self.base + pointer(*path)

    def table(self, name: str) -> dict[str, Any]:
        """Return a table; empty if it is missing or not a table."""
        value = self.values.get(name)
        return value if isinstance(value, dict) else {}


def as_integer(value: Any) -> int | None:
    """Return the value if it is an integer, else None; booleans are not integers."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def number(value: Any) -> float | int | None:
    """Return the value if it is a finite number that a float can hold, else None; booleans are not numbers."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    found = as_integer(value)
    return found if found is not None and found.bit_length() <= _FLOAT_BITS else None


def count(value: Any) -> int | None:
    """Return a number as a count (rounded down, at least 1), or None if it is not a number."""
    found = number(value)
    return None if found is None else max(1, int(found))


def positive(value: Any, default: int) -> int:
    """Return the value if it is a positive integer in the trainer's range, else the default. Other checks report it."""
    found = as_integer(value)
    return found if found is not None and 0 < found <= MAX_COUNT else default
