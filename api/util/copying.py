"""Make a dataclass from another one that has most of its fields."""

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def copy_fields(kind: Callable[..., T], /, *sources: Any, **given: Any) -> T:
    """Return a `kind`, a dataclass. Fields that are not given are copied from the first source that has them."""
    for name in _names(kind):
        if name not in given:
            source = next((each for each in sources if hasattr(each, name)), None)
            if source is not None:
                given[name] = getattr(source, name)
    return kind(**given)


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))
