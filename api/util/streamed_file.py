"""A file that is created while it is sent, so that its length is unknown until its end."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamedFile:
    """The parts of a file in order, each created on demand by a generator that releases its resources when closed."""

    name: str
    content_type: str
    parts: Iterator[bytes]

    def next_part(self) -> bytes | None:
        """Return the next part; None at the end. Raises OSError and any error of the generator."""
        return next(self.parts, None)

    def close(self) -> None:
        """Release the resources of the generator."""
        close = getattr(self.parts, "close", None)
        if close is not None:
            close()
