"""Records whether the work of this context has used the database, for a caller that has set `current_use`."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Use:
    """Whether the database was read, and whether a transaction was committed."""

    has_read: bool = False
    has_written: bool = False


#: The record of this context; None if no caller needs it.
current_use: ContextVar[Use | None] = ContextVar("current_use", default=None)


def note_read() -> None:
    """Record that the database is read."""
    use = current_use.get()
    if use is not None:
        use.has_read = True


def note_write() -> None:
    """Record that a transaction was committed."""
    use = current_use.get()
    if use is not None:
        use.has_written = True
