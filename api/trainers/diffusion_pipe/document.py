"""A configuration as the trainer will read it, and where in the request each of its values stands."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from api.trainers.pointers import pointer


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
    """The value when it is a finite number; true and false are none."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return whole(value)


def count(value: Any) -> int | None:
    """A number as a count: rounded down, and 1 at least; None where it is no number."""
    found = number(value)
    return None if found is None else max(1, int(found))


def positive(value: Any, default: int) -> int:
    """The value when it is a positive integer, else the default; other checks say what is wrong with it."""
    found = whole(value)
    return found if found is not None and found > 0 else default
