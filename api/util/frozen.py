"""Classes whose objects stay as they were made, loaded in less than half of what `dataclass(frozen=True)` takes."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform, overload

T = TypeVar("T")


@overload
def frozen(kind: type[T], /) -> type[T]: ...


@overload
def frozen(*, kw_only: bool) -> Callable[[type[T]], type[T]]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(kind: type[T] | None = None, /, *, kw_only: bool = False) -> type[T] | Callable[[type[T]], type[T]]:
    """Makes a dataclass with slots that is compared, hashed and shown by its fields, none of which is set again.

    The last is seen to by mypy. Where `dataclass` sees to it, it compiles methods for each class at each start, as it
    does for those that all share here: 0.1 s and 3 MB for 375 classes.
    """
    if kind is None:
        return lambda given: _freeze(given, kw_only)
    return _freeze(kind, kw_only)


def _freeze(kind: type[T], kw_only: bool) -> type[T]:
    own = vars(kind)
    made: Any = dataclass(slots=True, repr=False, eq=False, kw_only=kw_only)(kind)
    compared = [each.name for each in fields(made) if each.compare]
    made.__compared__ = attrgetter(*compared or ("__class__",))
    for method in (__repr__, __eq__, __hash__):
        # A class that has `==` of its own has None for `__hash__`.
        if own.get(method.__name__) is None:
            setattr(made, method.__name__, method)
    return made  # type: ignore[no-any-return]


def __repr__(self: Any) -> str:  # noqa: N807
    shown = ", ".join(f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
    return f"{type(self).__qualname__}({shown})"


def __eq__(self: Any, other: Any) -> bool:  # noqa: N807
    if other.__class__ is not self.__class__:
        return NotImplemented
    return bool(self.__compared__(self) == other.__compared__(other))


def __hash__(self: Any) -> int:  # noqa: N807
    return hash(self.__compared__(self))
