"""Bounds of what a request may hold, and of what is said about it: counted before anything works on it."""

from collections.abc import Sequence
from typing import Any

from api.errors import Mistake

#: More findings than this help nobody; one more says how many there are besides.
MAX_MISTAKES = 200


def excess(values: Any, *, depth: int, count: int, characters: int | None = None) -> str | None:
    """What values (of JSON or TOML) have too much of, as a sentence; None when they may be worked on.

    `characters` counts those of all texts and keys together.
    """
    found, length = 0, 0
    pending: list[tuple[Any, int]] = [(values, 0)]
    while pending:
        value, level = pending.pop()
        found += 1
        if level > depth:
            return f"This is nested more than {depth} levels deep."
        if isinstance(value, str):
            length += len(value)
            continue
        if isinstance(value, dict):
            # Counted before they are listed: what is too much costs nothing.
            children: Sequence[Any] = list(value.values()) if len(value) <= count else range(len(value))
            length += sum(map(len, value)) if characters is not None and len(value) <= count else 0
        else:
            children = value if isinstance(value, list | tuple) else ()
        if found + len(pending) + len(children) > count:
            return f"These are more than {count:,} values."
        if characters is not None and length > characters:
            break
        pending.extend((child, level + 1) for child in children)
    if characters is not None and length > characters:
        return f"The texts in it are longer than {characters:,} characters together."
    return None


def capped(mistakes: Sequence[Mistake], dropped: int = 0) -> list[Mistake]:
    """The first findings, and how many there are besides; `dropped` counts those that were left out before."""
    left_out = max(len(mistakes) - MAX_MISTAKES, 0) + dropped
    shown = list(mistakes[:MAX_MISTAKES])
    return shown if not left_out else [*shown, more_than_these(left_out)]


def more_than_these(left_out: int) -> Mistake:
    """What stands for the findings that are not shown."""
    are = "is 1 more finding" if left_out == 1 else f"are {left_out:,} more findings"
    return Mistake("", f"There {are} than these.", "Mend these, then check again.")
