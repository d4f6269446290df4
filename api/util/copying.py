"""Make a dataclass from another one that has most of its fields."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

T = TypeVar("T")


def copy_fields(kind: Callable[..., T], /, *sources: Any, **given: Any) -> T:
    """Return a `kind`, a dataclass. Fields that are not given are copied from the first source that has them."""
    for field in fields(kind):  # type: ignore[arg-type]
        if field.name not in given:
            source = next((each for each in sources if hasattr(each, field.name)), None)
            if source is not None:
                given[field.name] = getattr(source, field.name)
    return kind(**given)
