"""A tracer that records its spans."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from api.util import measures
from api.util.measures import Span, use_tracer

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Made:
    """A span with its recorded attributes."""

    name: str
    parent: Span | None = None
    remote_parent: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    has_failed: bool | None = None
    traceparent: str = TRACEPARENT

    def end(self, values: Mapping[str, Any], *, name: str | None = None, has_failed: bool = False) -> None:
        self.name, self.values, self.has_failed = name or self.name, values, has_failed


class Maker:
    def __init__(self) -> None:
        self.made: list[Made] = []

    def begin(self, name: str, *, is_request: bool, parent: Span | None, traceparent: str | None) -> Span:
        self.made.append(Made(name, parent, traceparent))
        return self.made[-1]

    def note(self, name: str, parent: Span, seconds: float, values: Mapping[str, Any]) -> None:
        self.made.append(Made(name, parent, values=values))


@contextmanager
def making() -> Iterator[Maker]:
    """Install a recording tracer for the process during the `with` block; yield it."""
    found = Maker()
    use_tracer(found)
    token = measures._current.set(None)
    try:
        yield found
    finally:
        measures._current.reset(token)
        use_tracer(None)
