"""Suggest the known name that a user meant by an unknown one."""

from collections.abc import Iterable
from difflib import get_close_matches

#: Characters of a name that are compared, since the cost grows with them.
_LONGEST = 100

#: Characters that the beginning of a name must have to suggest another.
_SHORTEST = 3


def nearest_variant(name: str, known: Iterable[str]) -> str | None:
    """Return the most similar known name, or else one that `name` begins with or that begins with it, or None.

    Names of versions, such as `wan2.2-t2v`, are longer than what they have in common with the known name.
    """
    names = sorted(known, key=len, reverse=True)
    lower = name[:_LONGEST].lower()
    if (close := nearest(lower, names)) is not None or len(lower) < _SHORTEST:
        return close
    longer = (each for each in reversed(names) if each.startswith(lower))
    return next((each for each in names if lower.startswith(each)), None) or next(longer, None)


def nearest(name: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """Return the most similar known name; None if none is similar enough. `likeness`: 0 to 1, 1 is equal."""
    close = get_close_matches(name[:_LONGEST], list(known), n=1, cutoff=likeness)
    return close[0] if close else None
