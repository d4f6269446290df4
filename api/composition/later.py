"""Parts that are built when they are first needed."""

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")
P = TypeVar("P")


class Later(Generic[T]):
    """Something that is built by whoever needs it first, once; the others wait for it."""

    def __init__(self, build: Callable[[], T], on_built: Callable[[], None] = lambda: None) -> None:
        """What `build` raises is raised to whoever needed it, and it is tried anew by the next."""
        self._build = build
        self._on_built = on_built
        self._lock = threading.Lock()
        self._built: T | None = None

    def __call__(self) -> T:
        """What is built."""
        if self._built is None:
            with self._lock:
                if self._built is None:
                    self._built = self._build()
                    self._on_built()
        return self._built

    @property
    def built(self) -> T | None:
        """What is built; None as long as nobody has needed it."""
        return self._built

    def part(self, choose: Callable[[T], P]) -> P:
        """A stand-in for a part of it, which may be handed on: whoever asks it for anything has the whole built."""
        return cast(P, _Part(lambda: choose(self())))


class _Part:
    """Gives what is asked of it from the part in whose place it stands."""

    def __init__(self, find: Callable[[], Any]) -> None:
        object.__setattr__(self, "_find", find)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._find(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._find(), name, value)
