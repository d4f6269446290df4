"""What somebody may have meant who wrote a name that nobody knows."""

from collections.abc import Iterable
from difflib import get_close_matches

#: Characters of a name that are looked at: what it costs grows with them.
_LONGEST = 100


def nearest(name: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """The known name that is most like this one; None where none is as like as this (1 is the same)."""
    close = get_close_matches(name[:_LONGEST], list(known), n=1, cutoff=likeness)
    return close[0] if close else None
