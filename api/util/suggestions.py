"""Guesses which known name somebody meant who wrote an unknown one."""

from collections.abc import Iterable
from difflib import get_close_matches

#: Characters of a name that are compared: the cost grows with them.
_LONGEST = 100


def nearest(name: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """The known name most like this one; None where none is like it by at least `likeness` (0 to 1, 1 is equal)."""
    close = get_close_matches(name[:_LONGEST], list(known), n=1, cutoff=likeness)
    return close[0] if close else None
