"""A file that is made while it is sent: nobody knows its length before its end."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamedFile:
    """The parts of the file in their order, each made when it is asked for; a generator, which closes what it holds."""

    name: str
    content_type: str
    parts: Iterator[bytes]

    def next_part(self) -> bytes | None:
        """The next part; None at the end. Raises OSError and whatever the making raises."""
        return next(self.parts, None)

    def close(self) -> None:
        """Gives up what the making holds."""
        close = getattr(self.parts, "close", None)
        if close is not None:
            close()
