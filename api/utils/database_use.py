"""What the work of this context has done with the database, for whoever set a note of it out."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Use:
    """Whether it was asked, and whether anything was committed."""

    has_read: bool = False
    has_written: bool = False


#: None where nobody wants to know.
current_use: ContextVar[Use | None] = ContextVar("current_use", default=None)


def note_read() -> None:
    """The database is asked."""
    use = current_use.get()
    if use is not None:
        use.has_read = True


def note_write() -> None:
    """A transaction was committed."""
    use = current_use.get()
    if use is not None:
        use.has_written = True
