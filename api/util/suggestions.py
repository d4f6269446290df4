"""Suggest the known name that a user meant by an unknown one."""

from collections.abc import Iterable
from difflib import get_close_matches

#: Characters of a name that are compared, since the cost grows with them.
_LONGEST = 100


def nearest(name: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """Return the most similar known name; None if none is similar enough. `likeness`: 0 to 1, 1 is equal."""
    close = get_close_matches(name[:_LONGEST], list(known), n=1, cutoff=likeness)
    return close[0] if close else None
